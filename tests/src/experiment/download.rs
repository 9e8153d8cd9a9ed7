//! A server of one file on the instance's loopback, for hosts that download the agent.

use std::{
    convert::Infallible,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::sync::oneshot;

use crate::netns::Namespace;

/// Serves until it is dropped.
#[derive(Debug)]
pub struct Download {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Download {
    pub fn serve(namespace: &Namespace, file: &Path) -> Result<Self> {
        let data = Bytes::from(fs::read(file).with_context(|| format!("reading {}", file.display()))?);
        let listener = namespace.run(|| Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?))?;
        let address = listener.local_addr().context("asking for the port")?;
        listener.set_nonblocking(true).context("preparing the listener")?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                tokio::select! {
                    ended = answer_all(listener, data) => ended,
                    _ = stopped => Ok(()),
                }
            })
        });
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// With the place of the architecture, as AGENT_URL has it.
    pub fn url(&self) -> String {
        format!("http://{}/httpfault-agent-{{arch}}", self.address)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("the download server failed: {error:#}");
        }
    }
}

async fn answer_all(listener: TcpListener, data: Bytes) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener).context("using the listener")?;
    loop {
        let (stream, _) = listener.accept().await.context("accepting")?;
        let data = data.clone();
        tokio::spawn(async move {
            let service = service_fn(move |_request| {
                let response = Response::new(Full::new(data.clone()));
                async move { Ok::<_, Infallible>(response) }
            });
            let served = auto::Builder::new(TokioExecutor::new());
            let ended = served.serve_connection(TokioIo::new(stream), service).await;
            drop(ended);
        });
    }
}
