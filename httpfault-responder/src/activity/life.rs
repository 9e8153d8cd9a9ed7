//! The life of a responder as its connections see it: on, leaving, closing, cut.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// Signals from the driver to every connection. Each implies the ones before it.
#[derive(Debug, Default)]
pub(crate) struct Life {
    left: AtomicBool,
    /// The fault is over; further requests are the application's.
    pub(crate) leaving: CancellationToken,
    /// Idle connections close; nothing new is waited for.
    pub(crate) closing: CancellationToken,
    /// Whatever is left ends now.
    pub(crate) cut: CancellationToken,
}

impl Life {
    /// Whether the fault is over. Cheap: asked for every request.
    pub(crate) fn left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    pub(crate) fn leave(&self) {
        self.left.store(true, Ordering::Release);
        self.leaving.cancel();
    }
}
