//! Connections of the application that are served here for a time and asked back.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll},
};

use tokio::sync::{mpsc, oneshot, watch};

/// The driver's handle to an adopted connection. Dropping it changes nothing about how the connection is served.
#[derive(Debug)]
pub struct Adopted {
    asks: mpsc::Sender<Ask>,
    ending: watch::Receiver<Ending>,
}

/// The answer to [`Adopted::release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// It was between two requests and was let go: the responder's end of the stream is closed, and what it wrote
    /// before is complete.
    AtRest,
    /// A request or its answer is under way. The connection is served on as if nothing had been asked.
    Busy,
    /// It had ended before.
    Ended,
}

/// How the responder's part of a connection ended. In both cases the stream has an end after the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Between two requests, by [`Adopted::release`], after the limit of idle time, or by
    /// [`Responder::finish`](crate::Responder::finish): whoever serves the client next has the whole next request.
    AtRest,
    /// The client ended it, or an answer said that it is the last, or it broke off: the client's own connection is to be
    /// closed.
    Closed,
}

/// One question for the connection back.
type Ask = oneshot::Sender<Released>;

/// The connection's side of [`Adopted`]; also there, without anybody who asks, for connections that were accepted.
#[derive(Debug)]
pub(crate) struct Asked(Option<Asking>);

#[derive(Debug)]
struct Asking {
    asks: mpsc::Receiver<Ask>,
    ending: watch::Sender<Ending>,
}

pub(crate) fn pair() -> (Adopted, Asked) {
    let (ask, asks) = mpsc::channel(1);
    let (end, ending) = watch::channel(Ending::Closed);
    (Adopted { asks: ask, ending }, Asked(Some(Asking { asks, ending: end })))
}

impl Adopted {
    /// Asks for the connection back; the answer comes at once, whatever the client or the application do.
    ///
    /// Write nothing to the stream between the call and its answer. What was written before is seen, and makes the
    /// connection busy if it is not answered yet. After [`Released::AtRest`] read the stream to its end and pass that
    /// on; the client's next byte begins a request.
    pub async fn release(&self) -> Released {
        let (answer, answered) = oneshot::channel();
        if self.asks.send(answer).await.is_err() {
            return Released::Ended;
        }
        answered.await.unwrap_or(Released::Ended)
    }

    /// Returns when the responder has let go of the connection.
    pub async fn ended(&self) -> Ending {
        let mut ending = self.ending.clone();
        while ending.changed().await.is_ok() {}
        *ending.borrow()
    }
}

impl Asked {
    /// For a connection that belongs to the responder.
    pub(crate) fn by_nobody() -> Self {
        Self(None)
    }

    pub(crate) fn is_possible(&self) -> bool {
        self.0.is_some()
    }

    /// The next question.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Question> {
        let Some(asking) = &mut self.0 else { return Poll::Pending };
        match asking.asks.poll_recv(cx) {
            Poll::Ready(Some(ask)) => Poll::Ready(Question(ask)),
            // Nobody is left to ask.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Runs `work`, during which the connection is busy.
    pub(crate) async fn busy_during<F: Future>(&mut self, work: F) -> F::Output {
        if !self.is_possible() {
            return work.await;
        }
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                question = poll_fn(|cx| self.poll_next(cx)) => question.answer(Released::Busy),
            }
        }
    }

    /// The stream was closed between two requests.
    pub(crate) fn was_at_rest(&self) {
        if let Some(asking) = &self.0 {
            // Whoever waits is told by the end of this, not by the value.
            asking.ending.send_if_modified(|ending| {
                *ending = Ending::AtRest;
                false
            });
        }
    }
}

/// Somebody waits for an answer.
#[derive(Debug)]
pub(crate) struct Question(Ask);

impl Question {
    pub(crate) fn answer(self, released: Released) {
        // Who asked may have stopped waiting.
        let _nobody = self.0.send(released);
    }
}
