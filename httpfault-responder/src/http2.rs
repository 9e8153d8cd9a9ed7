//! Cleartext HTTP/2 with prior knowledge.

mod passed;
mod streams;

pub(crate) use passed::Passed;

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use hyper::{server::conn::http2::Builder, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
    time::sleep,
};

use self::streams::Streams;
use crate::{
    activity::{Phase, Seat, Track},
    answer::{Answerer, answer},
    context::Context,
    stream::Buffered,
};

/// A peer that does not answer a ping for this long is gone.
const PING_TIME: Duration = Duration::from_secs(20);
const PING_EVERY: Duration = Duration::from_secs(30);
/// Receive windows, bytes: an upload of many megabytes is not held up by acknowledgements.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Serves one client to its end. When the fault is over, the client was idle for too long or its place is needed, it is
/// sent GOAWAY, and what it had begun is finished.
pub(crate) async fn serve(client: Buffered, context: Arc<Context>, origin: SocketAddr, seat: Seat) {
    let track = Track::new(&seat);
    let answerer = Arc::new(Answerer::new(&context, origin, &track, None));
    let service = service_fn(move |request| answer(Arc::clone(&answerer), request));
    let (io, mut returned) = Lent::new(client);
    let limits = &context.limits;
    let streams = Streams::default();
    let connection = Builder::new(streams.clone())
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.http2_streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIME)
        .serve_connection(TokioIo::new(io), service);
    {
        let mut connection = pin!(connection);
        let mut over = pin!(async {
            tokio::select! {
                () = seat.reached(&context.life, Phase::Left) => {}
                () = poll_fn(|cx| seat.poll_close(&context.life, cx)) => {}
                () = idle(&track, limits.idle_time) => {}
            }
        });
        let mut told = false;
        loop {
            tokio::select! {
                biased;
                () = &mut over, if !told => {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                }
                ended = poll_fn(|cx| streams.poll(connection.as_mut(), cx)) => {
                    if let Err(error) = ended {
                        log::debug!("an HTTP/2 client connection broke off: {error}");
                    }
                    break;
                }
            }
        }
    }
    if let Ok(client) = returned.try_recv() {
        client.linger(limits.linger_time).await;
    }
}

/// Returns when no stream was open for this time, or a little later: it looks only now and then.
async fn idle(track: &Track, time: Duration) {
    let mut seen = None;
    loop {
        let now = track.is_between_requests().then(|| track.requests());
        if now.is_some() && now == seen {
            return;
        }
        seen = now;
        sleep(time).await;
    }
}

/// The client's connection lent to hyper, which drops its I/O and gives nothing back: dropping this one returns it.
struct Lent {
    stream: Option<Buffered>,
    give_back: Option<oneshot::Sender<Buffered>>,
}

impl Lent {
    fn new(stream: Buffered) -> (Self, oneshot::Receiver<Buffered>) {
        let (give_back, returned) = oneshot::channel();
        (Self { stream: Some(stream), give_back: Some(give_back) }, returned)
    }

    fn stream(self: Pin<&mut Self>) -> io::Result<Pin<&mut Buffered>> {
        self.get_mut().stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(stream), Some(give_back)) = (self.stream.take(), self.give_back.take()) {
            // Nobody waits for it where the whole connection is cut.
            let _cut = give_back.send(stream);
        }
    }
}

impl AsyncRead for Lent {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, out)
    }
}

impl AsyncWrite for Lent {
    fn poll_write(self: Pin<&mut Self>, cx: &mut task::Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}
