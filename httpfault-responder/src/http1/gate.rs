//! Some requests of a connection are faulted and some are not. The gate reads heads and decides; it never changes what
//! it lets through.

use std::{io, net::SocketAddr, sync::Arc};

use bytes::Bytes;

use tokio::time::{Instant, timeout_at};

use super::{
    head::{Parsed, RequestHead},
    one::answer_one,
    relay::{After, Closing, relay},
};
use crate::{
    activity::{Doing, Seat, Track},
    adopted::{Asked, Question, Released},
    answer::Answerer,
    context::Context,
    decide::{Facts, FaultIs, Verdict, path_of},
    stats::add_one,
    stream::Buffered,
    tunnel::tunnel,
    upstream::connect,
};

/// One client connection at the gate.
pub(super) struct Gate {
    client: Buffered,
    /// Kept for the next spared request, as the client keeps its own.
    application: Option<Buffered>,
    context: Arc<Context>,
    origin: SocketAddr,
    seat: Seat,
    /// What the client is told when the fault is over.
    farewell: Closing,
    answerer: Option<(Arc<Answerer>, Arc<Track>)>,
}

/// What the client did next.
enum Next {
    Request(RequestHead),
    /// It closed its connection between two requests, or broke it.
    Gone,
    /// It ended its side between two requests.
    Ended,
    /// It was idle for too long, or everything is closing.
    Idle,
    /// Whoever lent the connection wants it back, and can have it.
    Asked(Question),
    NotUnderstood,
}

/// What becomes of the connection.
enum Then {
    GoesOn,
    Closes,
    Passes,
    /// There is nothing to close in order: the application could not be reached or the client is gone.
    Drops,
    /// It is between two requests and goes back to whoever lent it.
    LetGo(Option<Question>),
}

impl Gate {
    pub(super) fn new(
        client: Buffered,
        application: Option<Buffered>,
        context: Arc<Context>,
        origin: SocketAddr,
        seat: Seat,
    ) -> Self {
        let farewell = Closing::Announced;
        Self { client, application, context, origin, seat, farewell, answerer: None }
    }

    /// The same for a client that must not notice that the fault ends.
    pub(super) fn unnoticed(client: Buffered, context: Arc<Context>, origin: SocketAddr, seat: Seat) -> Self {
        Self { farewell: Closing::No, ..Self::new(client, None, context, origin, seat) }
    }

    pub(super) async fn run(mut self, mut asked: Asked) {
        let then = loop {
            self.seat.set(Doing::Waiting);
            let then = match self.next(&mut asked).await {
                Next::Request(head) => asked.busy_during(self.serve(head)).await,
                Next::NotUnderstood => {
                    add_one(&self.context.stats.not_http);
                    Then::Passes
                }
                Next::Asked(question) => Then::LetGo(Some(question)),
                Next::Idle if asked.is_possible() && is_at_rest(&self.client) => Then::LetGo(None),
                Next::Idle | Next::Ended => Then::Closes,
                Next::Gone => Then::Drops,
            };
            if !matches!(then, Then::GoesOn) {
                break then;
            }
        };
        let Self { client, application, context, origin, seat, .. } = self;
        match then {
            Then::Passes => {
                asked.busy_during(tunnel(client, application, &context, origin, &seat)).await;
            }
            Then::Closes | Then::GoesOn => {
                asked.busy_during(client.linger(context.limits.linger_time)).await;
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
    }

    async fn serve(&mut self, head: RequestHead) -> Then {
        self.seat.set(Doing::Serving);
        let facts = Facts { method: &head.method, path: path_of(&head.target), headers: &head.headers };
        let now = if self.context.life.left() { FaultIs::Over } else { FaultIs::On };
        match self.context.decider.verdict(facts, now) {
            Verdict::Spare => {
                self.context.stats.count_request(head.version);
                add_one(&self.context.stats.spared);
                self.spare(&head).await
            }
            verdict @ (Verdict::Fault(_) | Verdict::Probe) => self.fault(&head, verdict).await,
        }
    }

    async fn fault(&mut self, head: &RequestHead, verdict: Verdict) -> Then {
        let (answerer, track) = self.answerer.get_or_insert_with(|| {
            let track = Track::new(&self.seat);
            (Arc::new(Answerer::new(&self.context, self.origin, &track, None)), track)
        });
        let answerer = Arc::new(answerer.with_verdict(verdict));
        if answer_one(&mut self.client, head, &answerer, track, &self.context).await {
            Then::GoesOn
        } else {
            Then::Closes
        }
    }

    async fn spare(&mut self, head: &RequestHead) -> Then {
        let raw = self.client.buf.split_to(head.len).freeze();
        let kept = self.application.take().filter(Buffered::is_quiet);
        let was_kept = kept.is_some();
        let mut application = match kept {
            Some(kept) => kept,
            None => match connect(&self.context, self.origin).await {
                Ok(fresh) => fresh,
                Err(_counted) => return Then::Drops,
            },
        };
        let mut after = self.relay(&mut application, head, &raw).await;
        // The application may have closed the kept connection at the very moment; a client of its own would see that
        // too, but would not know why its fresh connection was an old one.
        if was_kept && after.is_err() && head.can_be_repeated() {
            match connect(&self.context, self.origin).await {
                Ok(fresh) => application = fresh,
                Err(_counted) => return Then::Drops,
            }
            after = self.relay(&mut application, head, &raw).await;
        }
        match after {
            Ok(After::Next) => {
                self.application = Some(application);
                Then::GoesOn
            }
            Ok(After::Tunnel) => {
                self.application = Some(application);
                Then::Passes
            }
            Ok(After::Close) => Then::Closes,
            Ok(After::BrokeOff) => {
                add_one(&self.context.stats.upstream_errors);
                Then::Closes
            }
            Err(error) => {
                add_one(&self.context.stats.upstream_errors);
                log::debug!("the application did not answer at {}: {error}", self.origin);
                Then::Closes
            }
        }
    }

    async fn relay(
        &mut self,
        application: &mut Buffered,
        head: &RequestHead,
        raw: &Bytes,
    ) -> io::Result<After> {
        let closing = if self.context.life.left() { self.farewell } else { Closing::No };
        relay(&mut self.client, application, head, raw.clone(), closing).await
    }

    /// Waits for the next request head.
    async fn next(&mut self, asked: &mut Asked) -> Next {
        let limits = self.context.limits;
        let mut deadline = Instant::now() + limits.idle_time;
        let mut begun = false;
        loop {
            let head_begun = self.client.buf.iter().any(|byte| !b"\r\n".contains(byte));
            if head_begun {
                match RequestHead::parse(&self.client.buf) {
                    Parsed::Complete(head) if head.len <= limits.head_bytes => return Next::Request(head),
                    Parsed::Partial if self.client.buf.len() <= limits.head_bytes => {}
                    Parsed::Complete(_) | Parsed::Partial | Parsed::NotUnderstood => {
                        return Next::NotUnderstood;
                    }
                }
                if !begun {
                    begun = true;
                    deadline = Instant::now() + limits.head_time;
                }
            } else if self.client.buf.len() > limits.head_bytes {
                return Next::NotUnderstood;
            }
            let Self { client, application, context, .. } = self;
            tokio::select! {
                biased;
                filled = timeout_at(deadline, client.fill()) => match filled {
                    Ok(Ok(1..)) => {}
                    Ok(Ok(0)) if client.buf.is_empty() => return Next::Ended,
                    Ok(Err(_)) => return Next::Gone,
                    // Half a head is the application's to judge.
                    Ok(Ok(0)) => return Next::NotUnderstood,
                    Err(_elapsed) if head_begun => return Next::NotUnderstood,
                    Err(_elapsed) => return Next::Idle,
                },
                question = asked.next() => {
                    if is_at_rest(client) {
                        return Next::Asked(question);
                    }
                    question.answer(Released::Busy);
                }
                () = context.life.closing.cancelled(), if !head_begun => return Next::Idle,
                () = ended(application) => *application = None,
            }
        }
    }
}

/// Whether nothing of a next request is here. Empty lines before a request are nothing (RFC 9112 section 2.2).
fn is_at_rest(client: &Buffered) -> bool {
    let unread = &client.buf;
    unread.iter().all(|byte| b"\r\n".contains(byte))
        && unread.last().is_none_or(|last| *last == b'\n')
        && client.has_nothing_to_read()
}

/// Waits until a kept connection is closed by the application or says something unasked.
async fn ended(application: &Option<Buffered>) {
    match application {
        Some(stream) => stream.readable().await,
        None => std::future::pending().await,
    }
}
