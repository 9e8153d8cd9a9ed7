//! Request bodies that nobody wants.

use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::{
    Request, Response, Version,
    body::{Body, Incoming},
    header::{CONNECTION, HeaderValue},
};
use tokio::time::timeout;

use super::{body::AnswerBody, headers::expects_continue};
use crate::{http1::Track, responder::Shared};

/// What becomes of the body of a request that is answered without it.
pub(super) enum Disposal {
    /// There is none.
    None,
    /// Read in the background within limits, so that a client that sends all of it before it reads gets the response.
    Drain(Incoming),
    /// Not asked for: the client waits for 100 Continue. The connection ends, because whether it still sends the body
    /// is up to it (RFC 9110 section 10.1.1).
    Refuse,
}

impl Disposal {
    pub(super) fn of(request: Request<Incoming>) -> Self {
        if request.body().is_end_stream() {
            return Self::None;
        }
        // HTTP/1.0 has no 100 Continue, and in HTTP/2 a body can be refused alone.
        if request.version() == Version::HTTP_11 && expects_continue(request.headers()) {
            return Self::Refuse;
        }
        Self::Drain(request.into_body())
    }

    /// Begins it. An announced body beyond the limit ends the connection, and the response says so.
    pub(super) fn begin(
        self,
        response: &mut Response<AnswerBody>,
        is_http1: bool,
        shared: &Shared,
        track: &Arc<Track>,
    ) {
        let limit = shared.limits.drain_bytes;
        let closes = match &self {
            Self::None => false,
            Self::Refuse => true,
            Self::Drain(body) => body.size_hint().lower() > limit,
        };
        if closes && is_http1 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Self::Drain(body) = self {
            let time = shared.limits.drain_time;
            let reading = track.reading_body();
            tokio::spawn(async move {
                let _reading = reading;
                if timeout(time, drain(body, limit)).await.is_err() {
                    tracing::debug!("a request body took too long; giving it up");
                }
            });
        }
    }
}

/// Reads until the end or the limit.
async fn drain(mut body: Incoming, limit: u64) {
    let mut bytes = 0;
    while bytes <= limit
        && let Some(Ok(frame)) = body.frame().await
    {
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
}
