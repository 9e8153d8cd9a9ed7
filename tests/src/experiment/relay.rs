//! The way from the instance's namespace to a server of the machine, at the same port: what hosts call is the simulator.

use std::{
    net::{SocketAddr, TcpListener},
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result};
use tokio::{io::copy_bidirectional, net::TcpStream, sync::oneshot};

use crate::netns::Namespace;

/// Relays until it is dropped.
#[derive(Debug)]
pub struct Relay {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Relay {
    pub fn start(namespace: &Namespace, server: SocketAddr) -> Result<Self> {
        let bind = || TcpListener::bind(server).context("listening inside the instance");
        let listener = namespace.run(bind)?;
        listener.set_nonblocking(true).context("preparing the listener")?;
        let (stop, stopped) = oneshot::channel();
        // Its connections to the server are made in the machine's namespace.
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                tokio::select! {
                    ended = serve(listener, server) => ended,
                    _ = stopped => Ok(()),
                }
            })
        });
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("the relay failed: {error:#}");
        }
    }
}

async fn serve(listener: TcpListener, server: SocketAddr) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener).context("using the listener")?;
    loop {
        let (mut client, _) = listener.accept().await.context("accepting")?;
        tokio::spawn(async move {
            // Either side may break off; the other one notices.
            if let Ok(mut server) = TcpStream::connect(server).await {
                drop(copy_bidirectional(&mut client, &mut server).await);
            }
        });
    }
}
