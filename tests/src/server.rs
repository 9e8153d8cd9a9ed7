//! A small HTTP server on an instance's loopback, for what stands beside the tasks.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::sync::oneshot;

use crate::netns::Namespace;

/// Serves until it is dropped, on a thread of its own.
#[derive(Debug)]
pub struct Server {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Server {
    /// Port 0 is a free one.
    pub fn start<A>(namespace: &Namespace, port: u16, answer: A) -> Result<Self>
    where
        A: Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync + 'static,
    {
        let listener = namespace.run(|| Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, port))?))?;
        let address = listener.local_addr().context("asking for the port")?;
        listener.set_nonblocking(true).context("preparing the listener")?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                tokio::select! {
                    ended = serve(listener, Arc::new(answer)) => ended,
                    _ = stopped => Ok(()),
                }
            })
        });
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends when its side of the channel does.
        drop(self.stop.take());
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("the server at {} failed: {error:#}", self.address);
        }
    }
}

async fn serve<A>(listener: TcpListener, answer: Arc<A>) -> Result<()>
where
    A: Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync + 'static,
{
    let listener = tokio::net::TcpListener::from_std(listener).context("using the listener")?;
    loop {
        let (stream, _) = listener.accept().await.context("accepting")?;
        let answer = Arc::clone(&answer);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let response = answer(&request);
                async move { Ok::<_, Infallible>(response) }
            });
            let ended = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
            // A client that went away is no failure of the server.
            drop(ended);
        });
    }
}
