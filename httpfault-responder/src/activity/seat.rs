//! What each connection is doing, for the account at the end.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

/// What one connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Doing {
    /// No request is under way.
    Waiting = 0,
    /// A request is being answered.
    Serving = 1,
    /// Bytes are passed between client and application: TLS, not HTTP, upgraded.
    Passing = 2,
}

/// The seat of nobody.
const FREE: u8 = u8::MAX;

/// One connection's entry in that account.
#[derive(Clone, Debug)]
pub(crate) struct Seat(Arc<AtomicU8>);

impl Default for Seat {
    fn default() -> Self {
        Self(Arc::new(AtomicU8::new(FREE)))
    }
}

impl Seat {
    pub(crate) fn set(&self, doing: Doing) {
        self.0.store(doing as u8, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Doing {
        match self.0.load(Ordering::Relaxed) {
            0 => Doing::Waiting,
            1 => Doing::Serving,
            _ => Doing::Passing,
        }
    }

    /// Takes the seat if nobody has it.
    pub(crate) fn take(&self) -> bool {
        let free = self.0.compare_exchange(FREE, Doing::Waiting as u8, Ordering::AcqRel, Ordering::Relaxed);
        free.is_ok()
    }

    pub(crate) fn give_back(&self) {
        self.0.store(FREE, Ordering::Release);
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.0.load(Ordering::Acquire) != FREE
    }
}
