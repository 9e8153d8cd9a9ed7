//! Request bodies that nobody wants.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use http_body_util::BodyExt;
use hyper::{
    Request, Version,
    body::{Body, Incoming},
};
use tokio::time::timeout;

use super::headers::expects_continue;
use crate::{activity::Track, context::Context};

/// How long an HTTP/1 response waits for the end of a chunked request body. When the response is faster, hyper does not
/// tell the end of such a body before the next request, so the connection has to end with it.
const CHUNKED_TIME: Duration = Duration::from_secs(1);

/// What the response has to say about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    Closes,
}

/// Sees to it that the body of a request that is answered without it is read, within limits: a client that sends all of
/// it before it reads gets the response and not a reset. Most of that happens after the response.
pub(super) async fn discard_body(request: Request<Incoming>, context: &Context, track: &Arc<Track>) -> Fate {
    if request.body().is_end_stream() {
        return Fate::Stays;
    }
    // The client waits to be asked for its body, and whether it sends it after a final response is up to it (RFC 9110
    // section 10.1.1). HTTP/1.0 has no 100 Continue, and in HTTP/2 a body can be refused alone.
    if request.version() == Version::HTTP_11 && expects_continue(request.headers()) {
        return Fate::Closes;
    }
    let is_http2 = request.version() == Version::HTTP_2;
    let limit = context.limits.discard_bytes;
    let (length, too_long) = {
        let size = request.body().size_hint();
        (size.exact(), size.lower() > limit)
    };
    let mut reading: Reading = Box::pin(read(request.into_body(), limit));
    if !is_http2 && length.is_none() {
        if let Ok(end) = timeout(CHUNKED_TIME, &mut reading).await {
            return if end == End::Reached { Fate::Stays } else { Fate::Closes };
        }
        go_on(reading, context, track);
        return Fate::Closes;
    }
    go_on(reading, context, track);
    if too_long { Fate::Closes } else { Fate::Stays }
}

type Reading = Pin<Box<dyn Future<Output = End> + Send>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Reached,
    /// The body is longer than the limit, or broke off.
    GivenUp,
}

fn go_on(reading: Reading, context: &Context, track: &Arc<Track>) {
    let time = context.limits.discard_time;
    let busy = track.reading_body();
    tokio::spawn(async move {
        let _busy = busy;
        if timeout(time, reading).await.is_err() {
            log::debug!("a request body took too long; giving it up");
        }
    });
}

/// Reads until the end or the limit. Where the length is known the end is told from it: hyper ends the stream itself
/// only with the next request if the response was faster.
async fn read(mut body: Incoming, limit: u64) -> End {
    let mut bytes = 0;
    while !body.is_end_stream() {
        match body.frame().await {
            None => break,
            Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(_)) => return End::GivenUp,
        }
        if bytes > limit {
            return End::GivenUp;
        }
    }
    End::Reached
}
