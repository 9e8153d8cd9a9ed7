//! The body of a response: bytes at hand or a stream from the application.

use std::{
    pin::Pin,
    sync::Arc,
    task::{self, Poll, ready},
};

use bytes::Bytes;
use hyper::{
    HeaderMap,
    body::{Body, Frame, Incoming, SizeHint},
};

use crate::{activity::Busy, context::Context, stats::add_one};

/// A response body of either kind.
pub(crate) struct AnswerBody {
    content: Content,
    /// Held until hyper has taken the last of the body.
    _busy: Option<Busy>,
}

enum Content {
    /// `None`: nothing, or nothing any more.
    Full(Option<Bytes>),
    Streamed {
        from: Incoming,
        context: Arc<Context>,
        trailers: Trailers,
    },
}

/// What becomes of the application's trailers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trailers {
    AsTheyAre,
    /// They end a gRPC call, which fails also where they do not come.
    FailCall,
}

impl AnswerBody {
    pub(crate) fn empty() -> Self {
        Self { content: Content::Full(None), _busy: None }
    }

    pub(crate) fn full(bytes: Bytes) -> Self {
        Self { content: Content::Full(Some(bytes).filter(|bytes| !bytes.is_empty())), _busy: None }
    }

    /// The application's body, trailers included. One that breaks off is counted.
    pub(crate) fn streamed(from: Incoming, context: &Arc<Context>, trailers: Trailers) -> Self {
        Self { content: Content::Streamed { from, context: Arc::clone(context), trailers }, _busy: None }
    }

    pub(crate) fn holding(self, busy: Busy) -> Self {
        Self { _busy: Some(busy), ..self }
    }
}

fn trailers_of<E>(frame: &mut Result<Frame<Bytes>, E>) -> Option<&mut HeaderMap> {
    frame.as_mut().ok().and_then(Frame::trailers_mut)
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.content {
            Content::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Streamed { from, context, trailers } => {
                let mut frame = ready!(Pin::new(from).poll_frame(cx));
                if let Some(Err(_)) = frame {
                    add_one(&context.stats.here().upstream_errors);
                }
                if *trailers == Trailers::FailCall {
                    if frame.is_none() {
                        frame = Some(Ok(Frame::trailers(HeaderMap::new())));
                    }
                    if let Some(fields) = frame.as_mut().and_then(trailers_of) {
                        context.injected.mark_trailers(fields);
                        *trailers = Trailers::AsTheyAre;
                    }
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Full(bytes) => bytes.is_none(),
            Content::Streamed { from, trailers, .. } => {
                *trailers == Trailers::AsTheyAre && from.is_end_stream()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Content::Streamed { from, .. } => from.size_hint(),
        }
    }
}
