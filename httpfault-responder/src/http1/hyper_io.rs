//! A client's connection as hyper sees it: exactly one request.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use bytes::{Buf, Bytes};
use hyper::{
    Request, Response,
    body::Incoming,
    server::conn::http1::{Builder, Parts},
    service::Service,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::Body;
use crate::{activity::Track, answer::AnswerBody, stream::Buffered, upstream::NoAnswer};

/// The client's connection lent to hyper, which must neither shut it down nor read past the request.
pub(super) struct HyperIo<'a> {
    pub(super) stream: &'a mut Buffered,
    pub(super) track: Arc<Track>,
    /// Bytes of the head that hyper has not read.
    pub(super) head: usize,
    pub(super) body: Body,
}

/// How hyper's part ended.
pub(super) struct Driven {
    pub(super) end: End,
    /// Read by hyper and not used.
    pub(super) unread: Bytes,
    /// Whether the request was read to its end.
    pub(super) whole: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By `stop`, between two requests.
    Stopped,
    /// hyper has closed the connection in order.
    Closed,
    /// The client broke off.
    Broken,
}

impl HyperIo<'_> {
    /// Serves until the connection ends or `stop` says so while no request is under way.
    pub(super) async fn drive<S>(self, builder: &Builder, service: S, stop: impl Fn(&Track) -> bool) -> Driven
    where
        S: Service<Request<Incoming>, Response = Response<AnswerBody>, Error = NoAnswer>,
    {
        let track = Arc::clone(&self.track);
        let mut connection = builder.serve_connection(TokioIo::new(self), service);
        let stops = || track.is_idle() && stop(&track);
        let end = loop {
            let served = poll_fn(|cx| {
                if stops() {
                    return Poll::Ready(End::Stopped);
                }
                match Pin::new(&mut connection).poll(cx) {
                    Poll::Ready(Ok(())) => Poll::Ready(End::Closed),
                    Poll::Ready(Err(error)) => {
                        log::debug!("a client connection broke off: {error}");
                        Poll::Ready(End::Broken)
                    }
                    Poll::Pending if stops() => Poll::Ready(End::Stopped),
                    Poll::Pending => Poll::Pending,
                }
            });
            tokio::select! {
                biased;
                end = served => break end,
                // Only makes the loop look again.
                () = track.changed.notified() => {}
            }
        };
        let Parts { io, read_buf: unread, .. } = connection.into_parts();
        let io = io.into_inner();
        Driven { end, unread, whole: io.head == 0 && io.body.is_done() }
    }
}

impl AsyncRead for HyperIo<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, head, body, .. } = &mut *self;
        if *head > 0 {
            let count = out.remaining().min(*head);
            out.put_slice(&stream.buf[..count]);
            stream.buf.advance(count);
            *head -= count;
            return Poll::Ready(Ok(()));
        }
        if body.is_done() {
            // What follows is the next request. An end of the stream would make hyper close the connection.
            return Poll::Pending;
        }
        if stream.buf.is_empty() {
            match stream.poll_fill(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        let most = stream.buf.len().min(out.remaining());
        let count = body.feed(&stream.buf[..most]).map_err(io::Error::other)?;
        out.put_slice(&stream.buf[..count]);
        stream.buf.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HyperIo<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut *self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.track.on_flush();
        }
        flushed
    }

    /// Whoever lent the connection closes it, after reading what is left.
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
