//! The body of a response: bytes at hand or a stream from the application.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::{
    activity::Busy,
    stats::{Stats, add_one},
};

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
        stats: Arc<Stats>,
    },
}

impl AnswerBody {
    pub(crate) fn empty() -> Self {
        Self { content: Content::Full(None), _busy: None }
    }

    pub(crate) fn full(bytes: Bytes) -> Self {
        Self { content: Content::Full(Some(bytes).filter(|bytes| !bytes.is_empty())), _busy: None }
    }

    /// The application's body, trailers included. One that breaks off is counted.
    pub(crate) fn streamed(from: Incoming, stats: Arc<Stats>) -> Self {
        Self { content: Content::Streamed { from, stats }, _busy: None }
    }

    pub(crate) fn holding(self, busy: Busy) -> Self {
        Self { _busy: Some(busy), ..self }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.content {
            Content::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Streamed { from, stats } => {
                let frame = Pin::new(from).poll_frame(cx);
                if matches!(frame, Poll::Ready(Some(Err(_)))) {
                    add_one(&stats.upstream_errors);
                }
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Full(bytes) => bytes.is_none(),
            Content::Streamed { from, .. } => from.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Content::Streamed { from, .. } => from.size_hint(),
        }
    }
}
