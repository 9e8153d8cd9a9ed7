//! The way from the instance's namespace to a server of the machine, at the same port: what hosts call is the simulator.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, Result};
use tokio::{io::copy_bidirectional, net::TcpStream};

use crate::{background::Background, netns::Namespace};

/// Relays until it is dropped.
#[derive(Debug)]
pub struct Relay {
    _relaying: Background,
}

impl Relay {
    pub fn start(namespace: &Namespace, server: SocketAddr) -> Result<Self> {
        let bind = || TcpListener::bind(server).context("listening inside the instance");
        let listener = namespace.run(bind)?;
        listener.set_nonblocking(true).context("preparing the listener")?;
        // Its connections to the server are made in the machine's namespace.
        let relaying = Background::start("the relay", async move || serve(listener, server).await);
        Ok(Self { _relaying: relaying })
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
