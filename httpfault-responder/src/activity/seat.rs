//! One connection as the responder sees it: what it is doing, and how it is told something.

use std::{
    future::poll_fn,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::life::{Life, Phase};

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
    /// Not a connection: it accepts them.
    Accepting = 3,
}

/// The seat of nobody.
const FREE: u8 = u8::MAX;

/// One connection's entry in the account. Only its own task waits on it, and that is one task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seat(Arc<Entry>);

#[derive(Debug)]
struct Entry {
    doing: AtomicU8,
    /// Milliseconds of this process.
    idle_since: AtomicU64,
    asked_to_close: AtomicBool,
    waker: AtomicWaker,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            doing: AtomicU8::new(FREE),
            idle_since: AtomicU64::new(0),
            asked_to_close: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }
}

impl Seat {
    pub(crate) fn set(&self, doing: Doing) {
        self.0.doing.store(doing as u8, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Doing {
        match self.0.doing.load(Ordering::Relaxed) {
            0 => Doing::Waiting,
            1 => Doing::Serving,
            2 => Doing::Passing,
            _ => Doing::Accepting,
        }
    }

    /// Takes the seat if nobody has it.
    pub(super) fn take(&self) -> bool {
        let doing = &self.0.doing;
        let free =
            doing.compare_exchange(FREE, Doing::Waiting as u8, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if free {
            self.0.asked_to_close.store(false, Ordering::Relaxed);
            self.idle_from(Instant::now());
        }
        free
    }

    pub(crate) fn give_back(&self) {
        self.0.doing.store(FREE, Ordering::Release);
    }

    pub(super) fn is_taken(&self) -> bool {
        self.0.doing.load(Ordering::Acquire) != FREE
    }

    pub(crate) fn idle_from(&self, now: Instant) {
        let millis = now.saturating_duration_since(beginning()).as_millis();
        self.0.idle_since.store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn idle_since(&self) -> u64 {
        self.0.idle_since.load(Ordering::Relaxed)
    }

    pub(super) fn ask_to_close(&self) {
        self.0.asked_to_close.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub(super) fn wake(&self) {
        self.0.waker.wake();
    }

    /// Ready when `phase` is reached.
    pub(crate) fn poll_reached(&self, life: &Life, phase: Phase, cx: &Context<'_>) -> Poll<()> {
        self.poll_until(cx, || life.has_reached(phase))
    }

    /// Returns when `phase` is reached.
    pub(crate) async fn reached(&self, life: &Life, phase: Phase) {
        poll_fn(|cx| self.poll_reached(life, phase, cx)).await;
    }

    /// Ready when an idle connection is to close: everything does, or its place is needed.
    pub(crate) fn poll_close(&self, life: &Life, cx: &Context<'_>) -> Poll<()> {
        self.poll_until(cx, || {
            life.has_reached(Phase::Closing) || self.0.asked_to_close.load(Ordering::SeqCst)
        })
    }

    fn poll_until(&self, cx: &Context<'_>, reached: impl Fn() -> bool) -> Poll<()> {
        if reached() {
            return Poll::Ready(());
        }
        self.0.waker.register(cx.waker());
        // It may have been reached just before somebody could be woken.
        if reached() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// A moment before every seat was taken.
fn beginning() -> Instant {
    static BEGINNING: OnceLock<Instant> = OnceLock::new();
    *BEGINNING.get_or_init(Instant::now)
}
