//! Requests on their way to the application through hyper: those whose status is replaced, and spared HTTP/2 streams.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    Request, Response, Version,
    body::{Body, Frame, Incoming, SizeHint},
    client::conn::{http1, http2},
    ext::on_informational,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    sync::{Mutex, Notify},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use super::connect;
use crate::{activity::Busy, context::Context, stream::Buffered};

/// How long a body waits for the application's 100 Continue. A client may stop waiting too (RFC 9110 section 10.1.1).
const CONTINUE_TIME: Duration = Duration::from_secs(1);
/// How long a kept connection may take to be ready for its next request before a new one is made.
const READY_TIME: Duration = Duration::from_millis(100);

/// Connections to the application on behalf of one client connection.
pub(crate) struct UpstreamHttp {
    origin: SocketAddr,
    http1: Mutex<Option<Link<http1::SendRequest<ForwardedBody>>>>,
    http2: Mutex<Option<Link<http2::SendRequest<ForwardedBody>>>>,
}

/// Sends requests; the connection's own task ends with it.
struct Link<S> {
    sender: S,
    _task: AbortOnDropHandle<()>,
}

/// Why there is no answer of the application.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("could not connect to the application at {origin}")]
    Unreachable { origin: SocketAddr, source: io::Error },
    #[error("the application at {origin} did not answer the request")]
    BrokeOff { origin: SocketAddr, source: hyper::Error },
}

impl UpstreamHttp {
    pub(crate) fn new(origin: SocketAddr) -> Self {
        Self { origin, http1: Mutex::default(), http2: Mutex::default() }
    }

    /// Sends the request in its own protocol version.
    pub(crate) async fn send(
        &self,
        request: Request<ForwardedBody>,
        context: &Context,
    ) -> Result<Response<Incoming>, NoAnswer> {
        if request.version() == Version::HTTP_2 {
            self.send_http2(request, context).await
        } else {
            self.send_http1(request, context).await
        }
    }

    async fn send_http1(
        &self,
        mut request: Request<ForwardedBody>,
        context: &Context,
    ) -> Result<Response<Incoming>, NoAnswer> {
        // Requests of an HTTP/1 client come one after the other, so nobody waits for the lock.
        let mut kept = self.http1.lock().await;
        if let Some(mut link) = kept.take()
            && matches!(timeout(READY_TIME, link.sender.ready()).await, Ok(Ok(())))
        {
            match link.sender.try_send_request(request).await {
                Ok(response) => {
                    *kept = Some(link);
                    return Ok(response);
                }
                Err(mut failed) => match failed.take_message() {
                    // It was closed before anything was written.
                    Some(unsent) => request = unsent,
                    None => return Err(self.broke_off(failed.into_error())),
                },
            }
        }
        let stream = self.connect(context).await?;
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|source| self.broke_off(source))?;
        let mut link = Link { sender, _task: run(connection) };
        let response = link.sender.send_request(request).await.map_err(|source| self.broke_off(source))?;
        *kept = Some(link);
        Ok(response)
    }

    async fn send_http2(
        &self,
        mut request: Request<ForwardedBody>,
        context: &Context,
    ) -> Result<Response<Incoming>, NoAnswer> {
        // A second try on a new connection is for requests that the application has certainly not seen.
        for _ in 0..2 {
            let mut sender = self.http2_sender(context).await?;
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => {
                        request = unsent;
                        self.http2.lock().await.take();
                    }
                    None => return Err(self.broke_off(failed.into_error())),
                },
            }
        }
        let source = io::ErrorKind::NotConnected.into();
        Err(self.unreachable(source))
    }

    async fn http2_sender(&self, context: &Context) -> Result<http2::SendRequest<ForwardedBody>, NoAnswer> {
        let mut kept = self.http2.lock().await;
        if let Some(link) = &mut *kept
            && link.sender.ready().await.is_ok()
        {
            return Ok(link.sender.clone());
        }
        let stream = self.connect(context).await?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|source| self.broke_off(source))?;
        let link = Link { sender: sender.clone(), _task: run(connection) };
        *kept = Some(link);
        Ok(sender)
    }

    /// hyper drops its connections when nothing is under way on them, or when they are of no use.
    async fn connect(&self, context: &Context) -> Result<Buffered, NoAnswer> {
        let stream = connect(context, self.origin).await.map_err(|source| self.unreachable(source))?;
        stream.reset_on_drop();
        Ok(stream)
    }

    fn unreachable(&self, source: io::Error) -> NoAnswer {
        NoAnswer::Unreachable { origin: self.origin, source }
    }

    fn broke_off(&self, source: hyper::Error) -> NoAnswer {
        NoAnswer::BrokeOff { origin: self.origin, source }
    }
}

fn run(connection: impl Future<Output = hyper::Result<()>> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) = connection.await {
            log::debug!("a connection to the application broke off: {error}");
        }
    }))
}

/// The client's request body, streamed.
pub(crate) struct ForwardedBody {
    from: Incoming,
    /// Asking the client for its body is put off until the application asks.
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    _busy: Busy,
}

impl ForwardedBody {
    pub(crate) fn new(from: Incoming, busy: Busy) -> Self {
        Self { from, wait: None, _busy: busy }
    }
}

/// Lets the application decide whether the body is sent at all.
pub(crate) fn wait_for_continue(request: &mut Request<ForwardedBody>) {
    let continued = Arc::new(Notify::new());
    let asked = Arc::clone(&continued);
    on_informational(request, move |interim| {
        if interim.status() == hyper::StatusCode::CONTINUE {
            asked.notify_one();
        }
    });
    request.body_mut().wait = Some(Box::pin(async move {
        let _asked_or_not = timeout(CONTINUE_TIME, continued.notified()).await;
    }));
}

impl Body for ForwardedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(wait) = &mut self.wait {
            match wait.as_mut().poll(cx) {
                Poll::Ready(()) => self.wait = None,
                Poll::Pending => return Poll::Pending,
            }
        }
        Pin::new(&mut self.from).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.from.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.from.size_hint()
    }
}
