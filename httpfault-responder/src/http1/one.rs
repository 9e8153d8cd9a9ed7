//! One faulted request that takes more than an answer at once: hyper gets exactly that one.

use std::sync::Arc;

use hyper::{server::conn::http1::Builder, service::service_fn};

use super::{
    framing::Body,
    head::{MAX_HEADERS, RequestHead},
    hyper_io::{End, HyperIo},
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
    let before = track.requests();
    let answerer = Arc::clone(answerer);
    let service = service_fn(move |request| answer(Arc::clone(&answerer), request));
    let io =
        HyperIo { stream: client, track: Arc::clone(track), head: head.len, body: Body::new(head.framing) };
    let driven = io.drive(&builder(context), service, |track| track.requests() > before).await;
    // hyper ends the connection itself where request or response say so.
    driven.end == End::Stopped && driven.whole && driven.unread.is_empty()
}

/// hyper must take every head that was read already.
fn builder(context: &Context) -> Builder {
    let mut builder = Builder::new();
    let head_bytes = context.limits.head_bytes.max(8192);
    builder
        .header_read_timeout(None)
        .max_headers(MAX_HEADERS)
        .max_header_size(head_bytes)
        .max_buf_size(head_bytes)
        // A client that has sent its request and ended its side still gets its response.
        .half_close(true)
        .preserve_header_case(context.decider.calls_application());
    builder
}
