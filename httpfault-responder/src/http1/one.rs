//! One faulted request among others that are not: hyper gets exactly that one.

use std::sync::Arc;

use hyper::service::service_fn;

use super::{
    builder,
    framing::Body,
    head::RequestHead,
    hyper_io::{Bound, End, HyperIo},
};
use crate::{
    activity::Track,
    answer::{Answerer, answer},
    context::Context,
    stream::Buffered,
};

/// Answers the request whose head begins the client's buffer. Returns whether the connection goes on.
pub(super) async fn answer_one(
    client: &mut Buffered,
    head: &RequestHead,
    answerer: &Arc<Answerer>,
    track: &Arc<Track>,
    context: &Context,
) -> bool {
    let (before, _) = track.progress();
    let bound = Bound { head: head.len, body: Body::new(head.framing) };
    let answerer = Arc::clone(answerer);
    let service = service_fn(move |request| answer(Arc::clone(&answerer), request));
    let io = HyperIo::one(client, Arc::clone(track), bound);
    let driven = io.drive(&builder(context), service, context, |track| track.progress().0 > before).await;
    // hyper ends the connection itself where request or response say so.
    driven.end == End::Stopped && driven.whole && driven.unread.is_empty()
}
