//! What can be answered from the bytes at hand: a faulted request that is here as a whole and is read in exactly one
//! way. No I/O.

use hyper::Method;

use super::{
    framing::{Body, Framing},
    head::{Parsed, RequestHead},
};
use crate::{
    context::Context,
    decide::{Action, FaultIs, Verdict},
    injected::Shape,
    stats::add_one,
};

/// Answers that are collected before they are sent, bytes. One answer may be larger.
const MOST_OUT: usize = 64 * 1024;

/// Why no more was answered.
#[derive(Debug)]
pub(crate) enum Stop {
    /// What is left, if anything, is the beginning of a request.
    NeedsMore,
    /// Enough was collected; there may be more to answer.
    Full,
    /// The last answer ends the connection, and the client sends nothing more.
    Ends,
    /// The last answer ends the connection: where the request ended is anybody's guess.
    Unread,
    /// This request, at the front of what is left, is somebody else's.
    Other(RequestHead),
    /// What is left is not HTTP/1, or could be read in two ways, and not everything is faulted.
    NotUnderstood,
}

/// Appends the answers to the requests at the front of `bytes`; returns how many bytes those took.
pub(crate) fn answer(context: &Context, bytes: &[u8], out: &mut Vec<u8>) -> (usize, Stop) {
    let limit = context.limits.head_bytes;
    let mut used = 0;
    loop {
        let rest = &bytes[used..];
        if rest.is_empty() {
            return (used, Stop::NeedsMore);
        }
        if out.len() >= MOST_OUT {
            return (used, Stop::Full);
        }
        let now = now(context);
        let head = match RequestHead::parse(rest, |facts| context.decider.verdict(facts, now)) {
            Parsed::Complete(head) if head.len <= limit => head,
            Parsed::Partial if rest.len() <= limit => return (used, Stop::NeedsMore),
            Parsed::Complete(_) | Parsed::Partial | Parsed::NotUnderstood => {
                let answered = answer_unread(context, out);
                return (used, if answered { Stop::Unread } else { Stop::NotUnderstood });
            }
        };
        let Some(length) = whole(&head, rest) else { return (used, Stop::Other(head)) };
        context.stats.count_request(head.version);
        add_one(&context.stats.here().faulted);
        let shape = Shape {
            is_json: head.prefers_json,
            is_head: head.method == Method::HEAD,
            is_http10: head.version == hyper::Version::HTTP_10,
            keeps_alive: head.keeps_alive,
        };
        context.injected.write(shape, out);
        used += length;
        if !head.keeps_alive {
            return (used, Stop::Ends);
        }
    }
}

/// A request that can't be read is faulted where every request is, and is the last of its connection.
/// Returns whether it was answered.
pub(super) fn answer_unread(context: &Context, out: &mut Vec<u8>) -> bool {
    if context.decider.verdict_on_unread(now(context)).is_none() {
        return false;
    }
    context.stats.count_request(hyper::Version::HTTP_11);
    add_one(&context.stats.here().faulted);
    context.injected.write(Shape::UNREAD, out);
    true
}

pub(super) fn now(context: &Context) -> FaultIs {
    if context.life.left() { FaultIs::Over } else { FaultIs::On }
}

/// The length of a request that is simply to be answered, if all of it is here. A client that waits to be asked for its
/// body, or that may take what follows for a tunnel, needs more than an answer.
fn whole(head: &RequestHead, bytes: &[u8]) -> Option<usize> {
    if head.verdict != Verdict::Fault(Action::Answer) || head.expects || head.method == Method::CONNECT {
        return None;
    }
    if head.framing == Framing::Length(0) {
        return Some(head.len);
    }
    let mut body = Body::new(head.framing);
    let length = body.feed(&bytes[head.len..]).ok()?;
    body.is_done().then_some(head.len + length)
}
