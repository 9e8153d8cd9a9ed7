//! How long a client may be idle, or take for a head.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::{activity::Seat, config::Limits};

/// The time that one client has left. There is one timer for a connection, which is not touched by a request: it is set
/// again only when it fires too early, or a head begins to trickle in.
#[derive(Default)]
pub(super) struct Patience {
    since: Option<Instant>,
    /// What it has been since then: in the middle of a head, or idle.
    begun: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    /// The client was answered.
    pub(super) fn renew(&mut self) {
        self.since = None;
    }

    /// How long the client has been silent.
    pub(super) fn silence(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Ready when the client's time is over. A head has its time from its first byte, however it trickles in.
    pub(super) fn poll_over(
        &mut self,
        begun: bool,
        limits: &Limits,
        seat: &Seat,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let since = match self.since {
            Some(since) if self.begun == begun => since,
            _ => {
                let now = Instant::now();
                seat.idle_from(now);
                *self.since.insert(now)
            }
        };
        self.begun = begun;
        let deadline = since + if begun { limits.head_time } else { limits.idle_time };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < timer.deadline() {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}
