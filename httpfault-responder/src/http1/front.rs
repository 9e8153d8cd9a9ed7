//! One HTTP/1 connection. Reads heads and decides, answers what can be answered at once, and gives each other request
//! to whoever serves it; it never changes what it lets through.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::Arc,
    task::{self, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::ReadBuf;

use super::{
    patience::Patience,
    ready::{self as at_once, Stop},
    relay::Closing,
};
use crate::{
    activity::{Doing, Seat, Track},
    adopted::{Asked, Question, Released},
    answer::Answerer,
    context::Context,
    scratch::with_scratch,
    stats::add_one,
    stream::Buffered,
    tunnel::tunnel,
    upstream::abandon,
};

/// One client connection.
pub(crate) struct Front {
    pub(super) client: Buffered,
    /// Answers that the client has not taken yet.
    pub(super) unsent: Bytes,
    /// What comes after them.
    stopped: Option<Stop>,
    /// There are bytes at the front of the client's buffer that nobody has looked at.
    fresh: bool,
    /// How much of an incomplete head was searched for its end.
    searched: usize,
    /// Kept for the next spared request, as the client keeps its own.
    pub(super) application: Option<Buffered>,
    pub(super) context: Arc<Context>,
    pub(super) origin: SocketAddr,
    pub(super) seat: Seat,
    /// What the client is told when the fault is over.
    pub(super) farewell: Closing,
    pub(super) patience: Patience,
    pub(super) answerer: Option<(Arc<Answerer>, Arc<Track>)>,
}

/// What was done on a connection before it had its own task.
#[derive(Default)]
pub(crate) struct Begun {
    /// Answers that the client has not taken yet.
    pub(crate) unsent: Bytes,
    /// Why no more was answered; `None` if nothing was looked at.
    pub(crate) stopped: Option<Stop>,
}

/// What becomes of the connection.
pub(super) enum Then {
    GoesOn,
    /// In order: the client may be sending something.
    Closes,
    /// The client sends nothing more.
    Ends,
    Passes,
    /// There is nothing to close in order: the application could not be reached or the client is gone.
    Drops,
    /// It is between two requests and goes back to whoever lent it.
    LetGo(Option<Question>),
}

impl Front {
    /// `client` may have bytes that were read already.
    pub(crate) fn new(
        client: Buffered,
        begun: Begun,
        application: Option<Buffered>,
        context: Arc<Context>,
        origin: SocketAddr,
        seat: Seat,
    ) -> Self {
        let Begun { unsent, stopped } = begun;
        Self {
            fresh: matches!(stopped, None | Some(Stop::Full)) && !client.buf.is_empty(),
            searched: if stopped.is_none() { 0 } else { client.buf.len() },
            client,
            unsent,
            stopped,
            application,
            context,
            origin,
            seat,
            farewell: Closing::Announced,
            patience: Patience::default(),
            answerer: None,
        }
    }

    /// For a client that must not notice that the fault ends.
    pub(crate) fn unnoticed(self) -> Self {
        Self { farewell: Closing::No, ..self }
    }

    pub(crate) async fn run(mut self, mut asked: Asked) {
        let then = loop {
            let stop = poll_fn(|cx| self.poll_stop(cx, &mut asked)).await;
            let then = match stop {
                Err(then) => then,
                Ok(Stop::Other(head)) => {
                    self.seat.set(Doing::Serving);
                    let then = asked.busy_during(Box::pin(self.serve(head))).await;
                    self.seat.set(Doing::Waiting);
                    self.fresh = !self.client.buf.is_empty();
                    self.patience.renew();
                    then
                }
                Ok(Stop::NotUnderstood) => self.pass(),
                Ok(Stop::Ends) => Then::Ends,
                Ok(Stop::Unread) => Then::Closes,
                Ok(Stop::NeedsMore | Stop::Full) => Then::GoesOn,
            };
            if !matches!(then, Then::GoesOn) {
                break then;
            }
        };
        self.end(then, asked).await;
    }

    async fn end(self, then: Then, mut asked: Asked) {
        let Self { mut client, unsent, application, context, origin, seat, .. } = self;
        match then {
            Then::Passes => {
                client.may_pause();
                let passing = tunnel(client, application, &context, origin, &seat);
                return asked.busy_during(Box::pin(passing)).await;
            }
            // Nothing can arrive that a reset would have to answer (RFC 9112 section 9.6).
            Then::Ends if client.is_read() => {}
            Then::Closes | Then::Ends | Then::GoesOn => {
                let closing = async move {
                    if client.send(&unsent).await.is_ok() {
                        client.linger(context.limits.linger_time).await;
                    }
                };
                asked.busy_during(Box::pin(closing)).await;
            }
            Then::Drops => {}
            Then::LetGo(question) => {
                drop(client);
                asked.was_at_rest();
                if let Some(question) = question {
                    question.answer(Released::AtRest);
                }
            }
        }
        if let Some(kept) = application {
            abandon(kept);
        }
    }

    fn pass(&self) -> Then {
        add_one(&self.context.stats.here().not_http);
        Then::Passes
    }

    /// The time for a head is over. It is the application's to judge, unless everything is faulted.
    fn half_head(&mut self) -> Then {
        let mut out = Vec::new();
        if !at_once::answer_unread(&self.context, &mut out) {
            return self.pass();
        }
        self.unsent = out.into();
        Then::Closes
    }

    /// Answers what can be answered at once, until a request has to be served or the connection ends.
    fn poll_stop(&mut self, cx: &mut task::Context<'_>, asked: &mut Asked) -> Poll<Result<Stop, Then>> {
        match self.poll_answer(cx) {
            Poll::Ready(Ok(stop)) => return Poll::Ready(Ok(stop)),
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Poll::Ready(Err(self.ended()));
            }
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Then::Drops)),
            Poll::Pending => {}
        }
        let begun = !is_empty_lines(&self.client.buf);
        if self.patience.poll_over(begun, &self.context.limits, &self.seat, cx).is_ready() {
            return Poll::Ready(Err(if begun { self.half_head() } else { self.idle(asked) }));
        }
        let is_idle = !begun && self.unsent.is_empty();
        if is_idle && self.seat.poll_close(&self.context.life, cx).is_ready() {
            return Poll::Ready(Err(self.idle(asked)));
        }
        while let Poll::Ready(question) = asked.poll_next(cx) {
            if is_idle && is_at_rest(&self.client) {
                return Poll::Ready(Err(Then::LetGo(Some(question))));
            }
            question.answer(Released::Busy);
        }
        // The application closed a kept connection, or said something unasked.
        if self.application.as_ref().is_some_and(|kept| kept.poll_readable(cx).is_ready()) {
            self.application = None;
        }
        Poll::Pending
    }

    fn idle(&self, asked: &Asked) -> Then {
        if asked.is_possible() && is_at_rest(&self.client) { Then::LetGo(None) } else { Then::Closes }
    }

    /// The client ended its side. Half a head is the application's to judge; where it is not asked there is no request.
    fn ended(&self) -> Then {
        if is_empty_lines(&self.client.buf) {
            Then::Closes
        } else if self.context.decider.verdict_on_unread(at_once::now(&self.context)).is_some() {
            Then::Drops
        } else {
            self.pass()
        }
    }

    fn poll_answer(&mut self, cx: &mut task::Context<'_>) -> Poll<io::Result<Stop>> {
        loop {
            ready!(self.poll_unsent(cx))?;
            match self.stopped.take() {
                Some(Stop::NeedsMore | Stop::Full) | None => {}
                Some(stop) => return Poll::Ready(Ok(stop)),
            }
            let answered = with_scratch(|read, out| {
                let stop = match self.fresh {
                    true => self.answer_buffered(out),
                    false => ready!(self.poll_read(cx, read, out))?,
                };
                self.fresh = matches!(stop, Stop::Full);
                self.stopped = Some(stop);
                self.send_at_once(cx, out);
                Poll::Ready(io::Result::Ok(()))
            });
            ready!(answered)?;
        }
    }

    fn poll_unsent(&mut self, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        if self.unsent.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.seat.set(Doing::Serving);
        while !self.unsent.is_empty() {
            let count = ready!(self.client.poll_send(cx, &self.unsent))?;
            self.unsent.advance(count);
        }
        self.unsent = Bytes::new();
        self.seat.set(Doing::Waiting);
        Poll::Ready(Ok(()))
    }

    /// Sends what the kernel takes now, and keeps the rest. An error shows again at the next try.
    fn send_at_once(&mut self, cx: &mut task::Context<'_>, out: &[u8]) {
        if out.is_empty() {
            return;
        }
        let sent = match self.client.poll_send(cx, out) {
            Poll::Ready(Ok(count)) => count,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        if sent < out.len() {
            self.unsent = Bytes::copy_from_slice(&out[sent..]);
        }
        self.patience.renew();
    }

    /// Reads and answers. The end of the client's side is an error, `UnexpectedEof`.
    fn poll_read(
        &mut self,
        cx: &mut task::Context<'_>,
        into: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Poll<io::Result<Stop>> {
        let mut into = ReadBuf::new(into);
        ready!(self.client.poll_receive(cx, &mut into))?;
        let bytes = into.filled();
        if bytes.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        if !self.client.buf.is_empty() {
            self.client.buf.extend_from_slice(bytes);
            let limit = self.context.limits.head_bytes;
            let ends = self.client.buf.len() > limit || has_end(&self.client.buf, self.searched);
            self.searched = self.client.buf.len();
            return Poll::Ready(Ok(if ends { self.answer_buffered(out) } else { Stop::NeedsMore }));
        }
        let (used, stop) = at_once::answer(&self.context, bytes, out);
        if used < bytes.len() {
            self.client.buf.extend_from_slice(&bytes[used..]);
        }
        self.searched = self.client.buf.len();
        Poll::Ready(Ok(stop))
    }

    fn answer_buffered(&mut self, out: &mut Vec<u8>) -> Stop {
        let (used, stop) = at_once::answer(&self.context, &self.client.buf, out);
        self.client.buf.advance(used);
        if self.client.buf.is_empty() {
            self.client.buf = BytesMut::new();
        }
        self.searched = self.client.buf.len();
        stop
    }
}

/// Whether the end of a head may be in `bytes`, of which `searched` bytes have none.
fn has_end(bytes: &[u8], searched: usize) -> bool {
    let rest = &bytes[searched.saturating_sub(3)..];
    memchr::memchr_iter(b'\n', rest).any(|at| matches!(&rest[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

/// Empty lines before a request are nothing (RFC 9112 section 2.2).
fn is_empty_lines(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| b"\r\n".contains(byte))
}

/// Whether nothing of a next request is here.
fn is_at_rest(client: &Buffered) -> bool {
    let unread = &client.buf;
    is_empty_lines(unread) && unread.last().is_none_or(|last| *last == b'\n') && client.has_nothing_to_read()
}
