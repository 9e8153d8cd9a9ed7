//! Whether hyper is between two requests, which it does not say itself.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
};

use tokio::{sync::Notify, time::Instant};

use super::seat::{Doing, Seat};

/// What one hyper connection is doing. Written by its service, its bodies and its I/O; read by whoever drives it.
#[derive(Debug)]
pub(crate) struct Track {
    seat: Seat,
    /// Requests whose response or whose body is not done.
    busy: AtomicUsize,
    /// Responses that hyper has not taken to their end.
    responses: AtomicUsize,
    /// Something of a response may still be in hyper's buffer.
    unflushed: AtomicBool,
    requests: AtomicU64,
    /// A request body was finished apart from the connection's own task.
    pub(crate) changed: Notify,
}

/// Held while one side of a request is not done.
#[derive(Debug)]
pub(crate) struct Busy {
    track: Arc<Track>,
    side: Side,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Request,
    Response,
}

impl Track {
    pub(crate) fn new(seat: &Seat) -> Arc<Self> {
        Arc::new(Self {
            seat: seat.clone(),
            busy: AtomicUsize::new(0),
            responses: AtomicUsize::new(0),
            unflushed: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            changed: Notify::new(),
        })
    }

    /// A request head is complete; its response is done when the guard goes.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, SeqCst);
        self.seat.set(Doing::Serving);
        self.responses.fetch_add(1, SeqCst);
        self.hold(Side::Response)
    }

    /// The body of a request is read by somebody until the guard goes.
    pub(crate) fn reading_body(self: &Arc<Self>) -> Busy {
        self.hold(Side::Request)
    }

    fn hold(self: &Arc<Self>, side: Side) -> Busy {
        self.busy.fetch_add(1, SeqCst);
        Busy { track: Arc::clone(self), side }
    }

    /// hyper has handed everything to the kernel.
    pub(crate) fn on_flush(&self) {
        if self.responses.load(SeqCst) == 0 {
            self.unflushed.store(false, SeqCst);
        }
    }

    /// Whether every request so far is done to its last byte.
    pub(crate) fn is_idle(&self) -> bool {
        self.busy.load(SeqCst) == 0 && !self.unflushed.load(SeqCst)
    }

    /// Whether no request is under way, though the last of an answer may not be sent yet.
    pub(crate) fn is_between_requests(&self) -> bool {
        self.busy.load(SeqCst) == 0
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(SeqCst)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.side == Side::Response {
            self.track.unflushed.store(true, SeqCst);
            self.track.responses.fetch_sub(1, SeqCst);
        }
        if self.track.busy.fetch_sub(1, SeqCst) == 1 {
            self.track.seat.set(Doing::Waiting);
            self.track.seat.idle_from(Instant::now());
        }
        if self.side == Side::Request {
            self.track.changed.notify_one();
        }
    }
}
