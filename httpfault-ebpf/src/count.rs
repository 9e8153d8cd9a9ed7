//! One counter for every outcome and every refusal.

use crate::maps::COUNTERS;

/// Adds one to a counter of `abi::counter`. Per-CPU, so a plain add cannot lose an update to another CPU.
#[inline(always)]
pub(crate) fn count(index: u32) {
    if let Some(value) = COUNTERS.get_ptr_mut(index) {
        // SAFETY: the map returned a valid pointer, and the program is not preempted by itself on this CPU.
        unsafe { *value += 1 };
    }
}
