//! The life of a responder: on, left, closing, cut.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU8, Ordering},
};

use super::seat::{Doing, Seat};

/// How far the end of a responder has come; each phase implies the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    On = 0,
    /// The fault is over; further requests are the application's.
    Left = 1,
    /// Idle connections close; nothing new is waited for.
    Closing = 2,
    /// Whatever is left ends now.
    Cut = 3,
}

/// The phase, and the seats of those who are told when it changes.
#[derive(Debug)]
pub(crate) struct Life {
    phase: AtomicU8,
    seats: Mutex<Vec<Seat>>,
}

impl Default for Life {
    fn default() -> Self {
        Self { phase: AtomicU8::new(Phase::On as u8), seats: Mutex::default() }
    }
}

impl Life {
    /// Whether the fault is over. Cheap: asked for every request.
    pub(crate) fn left(&self) -> bool {
        self.has_reached(Phase::Left)
    }

    pub(crate) fn has_reached(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::SeqCst) >= phase as u8
    }

    /// Goes on to `phase`, never back, and wakes everybody.
    pub(crate) fn reach(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::SeqCst);
        self.seats().iter().for_each(Seat::wake);
    }

    /// A seat for a new connection. Reuses one whose connection is gone, so that their number stays that of concurrent
    /// connections.
    pub(crate) fn take_seat(&self) -> Seat {
        let mut seats = self.seats();
        // Look at a few only: with many connections a long search for each new one would cost more than a new seat.
        let recent = seats.len().saturating_sub(8);
        if let Some(free) = seats[recent..].iter().find(|seat| seat.take()) {
            return free.clone();
        }
        if seats.len() == seats.capacity() {
            seats.retain(Seat::is_taken);
        }
        let seat = Seat::default();
        seat.take();
        seats.push(seat.clone());
        seat
    }

    pub(crate) fn count(&self, doing: Doing) -> u64 {
        self.seats().iter().filter(|seat| seat.is_taken() && seat.get() == doing).count() as u64
    }

    /// Asks the `count` connections that are idle longest to close. Returns whether there were any.
    pub(crate) fn close_idlest(&self, count: usize) -> bool {
        let seats = self.seats();
        let mut idle: Vec<&Seat> =
            seats.iter().filter(|seat| seat.is_taken() && seat.get() == Doing::Waiting).collect();
        if count < idle.len() {
            idle.select_nth_unstable_by_key(count, |seat| seat.idle_since());
            idle.truncate(count);
        }
        idle.iter().for_each(|seat| seat.ask_to_close());
        !idle.is_empty()
    }

    fn seats(&self) -> MutexGuard<'_, Vec<Seat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
