//! A client's connection as hyper sees it: everything, or exactly one request.

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use hyper::{
    Request, Response,
    body::Incoming,
    server::conn::http1::{Builder, Parts},
    service::Service,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, MissedTickBehavior, interval},
};

use super::framing::Body;
use crate::{activity::Track, answer::AnswerBody, context::Context, stream::Buffered, upstream::NoAnswer};

/// The client's connection lent to hyper, which must neither shut it down nor read past its bound.
pub(super) struct HyperIo<'a> {
    stream: &'a mut Buffered,
    track: Arc<Track>,
    bound: Option<Bound>,
}

/// One request at the front of the client's bytes.
pub(super) struct Bound {
    /// Bytes of the head that hyper has not read.
    pub(super) head: usize,
    pub(super) body: Body,
}

/// How hyper's part ended.
pub(super) struct Driven {
    pub(super) end: End,
    /// Read by hyper and not used.
    pub(super) unread: Bytes,
    /// Whether the bound was reached; true without one.
    pub(super) whole: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By `stop`, between two requests.
    Stopped,
    /// hyper has closed the connection in order.
    Closed,
    /// The client broke off, was too slow, or sent what hyper could not read.
    Broken,
}

impl<'a> HyperIo<'a> {
    pub(super) fn all(stream: &'a mut Buffered, track: Arc<Track>) -> Self {
        Self { stream, track, bound: None }
    }

    pub(super) fn one(stream: &'a mut Buffered, track: Arc<Track>, bound: Bound) -> Self {
        Self { stream, track, bound: Some(bound) }
    }

    /// Serves until the connection ends or `stop` says so while no request is under way.
    pub(super) async fn drive<S>(
        self,
        builder: &Builder,
        service: S,
        context: &Context,
        stop: impl Fn(&Track) -> bool,
    ) -> Driven
    where
        S: Service<Request<Incoming>, Response = Response<AnswerBody>, Error = NoAnswer>,
    {
        let track = Arc::clone(&self.track);
        let mut connection = builder.serve_connection(TokioIo::new(self), service);
        let stops = || track.is_idle() && stop(&track);
        let mut patience = Patience::new(context);
        let mut left = context.life.left();
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
                // Both only make the loop look again.
                () = context.life.leaving.cancelled(), if !left => left = true,
                () = track.changed.notified() => {}
                out_of_patience = patience.next(&track) => if out_of_patience { break End::Broken },
            }
        };
        let Parts { io, read_buf: unread, .. } = connection.into_parts();
        let bound = io.into_inner().bound;
        Driven { end, unread, whole: bound.is_none_or(|bound| bound.head == 0 && bound.body.is_done()) }
    }
}

/// Notices clients that are idle or in the middle of a head for too long. Looks now and then, so that a request costs
/// no timer.
struct Patience {
    look: tokio::time::Interval,
    head_time: Duration,
    idle_time: Duration,
    seen: (u64, bool),
    since: Instant,
}

impl Patience {
    fn new(context: &Context) -> Self {
        let (head_time, idle_time) = (context.limits.head_time, context.limits.idle_time);
        let period = (head_time.min(idle_time) / 4).max(Duration::from_millis(10));
        let mut look = interval(period);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { look, head_time, idle_time, seen: (0, false), since: Instant::now() }
    }

    /// After the next look: whether the client has used up its time.
    async fn next(&mut self, track: &Track) -> bool {
        self.look.tick().await;
        let progress = track.progress();
        if progress != self.seen || !track.is_idle() {
            self.seen = progress;
            self.since = Instant::now();
        }
        let (_, in_head) = progress;
        self.since.elapsed() >= if in_head { self.head_time } else { self.idle_time }
    }
}

impl AsyncRead for HyperIo<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, track, bound } = &mut *self;
        let polled = match bound {
            None => Pin::new(&mut **stream).poll_read(cx, out),
            Some(bound) => bound.poll_read(stream, cx, out),
        };
        if polled.is_ready() && !out.filled().is_empty() {
            track.on_read();
        }
        polled
    }
}

impl Bound {
    fn poll_read(
        &mut self,
        stream: &mut Buffered,
        cx: &mut task::Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.head > 0 {
            let count = self.head.min(out.remaining());
            out.put_slice(&stream.buf[..count]);
            stream.buf.advance(count);
            self.head -= count;
            return Poll::Ready(Ok(()));
        }
        if self.body.is_done() {
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
        let count = self.body.feed(&stream.buf[..most]).map_err(io::Error::other)?;
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
