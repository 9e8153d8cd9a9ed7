//! The two clocks: what the kernel programs compare with, and what people read.

use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_BOOTTIME` in nanoseconds, what `bpf_ktime_get_boot_ns` reads. It goes on while the host sleeps, so that no
/// fault is on when it wakes up after the end.
pub(crate) fn boot_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    // Seconds since boot are never negative and nanoseconds are below 10^9.
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// When a fault ends, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    pub(crate) boot_ns: u64,
    pub(crate) at: Timestamp,
}

impl Deadline {
    /// A deadline that far from now.
    pub(crate) fn after(duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self {
            boot_ns: boot_ns().saturating_add(nanos),
            at: Timestamp::now().saturating_add(duration).unwrap_or(Timestamp::MAX),
        }
    }

    /// Time left.
    pub(crate) fn remaining(self) -> Duration {
        Duration::from_nanos(self.boot_ns.saturating_sub(boot_ns()))
    }
}
