//! What the agent's processes see of each other without asking: words in memory that they share.

use std::{io, sync::atomic::AtomicBool};

use httpfault_responder::Stats;

use crate::sys::{self, SharedWord};

/// Made before the first fork. Times are `CLOCK_BOOTTIME` in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signs {
    /// Until when the agent lives and makes progress, and its responder too, as its heart says.
    pub(crate) agent_until: SharedWord,
    /// When the responder was last seen to make progress.
    pub(crate) responder_pulse: SharedWord,
    /// What the responder counts, target by target. It is there still when the responder is not.
    pub(crate) stats: &'static [Stats],
    /// Whose fault is over, target by target as the keeper counts them: true before the first hook comes off. What the
    /// keeper is told otherwise it may hear late.
    over: &'static [AtomicBool],
}

impl Signs {
    /// For a run of that many targets.
    pub(crate) fn new(targets: usize) -> io::Result<Self> {
        Ok(Self {
            agent_until: SharedWord::new(0)?,
            responder_pulse: SharedWord::new(0)?,
            stats: sys::share(targets, Stats::default)?,
            over: sys::share(targets, AtomicBool::default)?,
        })
    }

    pub(crate) fn over(&self, target: u32) -> Option<&'static AtomicBool> {
        usize::try_from(target).ok().and_then(|target| self.over.get(target))
    }
}
