//! A small HTTP server on an instance's loopback, for what stands beside the tasks.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};

use crate::{background::Background, netns::Namespace};

/// Serves until it is dropped, on a thread of its own.
#[derive(Debug)]
pub struct Server {
    pub address: SocketAddr,
    _serving: Background,
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
        let serving = Background::start(format!("the server at {address}"), async move || {
            serve(listener, Arc::new(answer)).await
        });
        Ok(Self { address, _serving: serving })
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
