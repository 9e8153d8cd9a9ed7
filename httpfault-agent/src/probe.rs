//! The proof that steering works: a connection of the agent's own, from inside the namespace to the target's address,
//! that the kernel programs treat as if it came from outside.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http_body_util::Empty;
use httpfault_common::abi::address::SERVED;
use hyper::{Request, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::TcpStream, time::timeout};

use crate::{netns::Netns, scope::Scope};

/// Name of the header by which the responder knows the agent's own request.
pub(crate) const HEADER: &str = "x-httpfault-probe";
/// Everything happens on this host.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the answer must be.
pub(crate) struct Expected<'a> {
    pub(crate) status: u16,
    pub(crate) token: &'a str,
}

/// One address of each family that the fault covers and the responder can take connections for.
pub(crate) fn destinations(scope: &Scope, port: u16, v4: bool, v6: bool) -> Vec<SocketAddr> {
    let served = |want_v4: bool| {
        let mut known = scope.addresses.iter().filter(|(_, flags)| *flags & SERVED != 0).map(|(ip, _)| *ip);
        // Link-local addresses need an interface to be reached.
        known.find(|ip| match ip {
            std::net::IpAddr::V4(_) => want_v4,
            std::net::IpAddr::V6(v6) => !want_v4 && !v6.is_unicast_link_local(),
        })
    };
    let families = [v4.then(|| served(true)), v6.then(|| served(false))];
    families.into_iter().flatten().flatten().map(|ip| SocketAddr::new(ip, port)).collect()
}

/// A socket whose address the kernel programs know before it connects.
pub(crate) fn prepare(
    netns: &Netns,
    destination: SocketAddr,
    announce: impl FnOnce(SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<Socket> {
    let (domain, kind) = (Domain::for_address(destination), Type::STREAM.nonblocking());
    let made = || Socket::new(domain, kind, Some(Protocol::TCP));
    let socket = netns.run(made).flatten().context("making the probe's socket")?;
    socket.bind(&SocketAddr::new(destination.ip(), 0).into()).context("binding the probe's socket")?;
    let local = socket.local_addr()?.as_socket().context("the probe's socket has no address")?;
    announce(local)?;
    Ok(socket)
}

/// Connects, asks, and compares the answer.
pub(crate) async fn ask(
    socket: Socket,
    destination: SocketAddr,
    expected: &Expected<'_>,
) -> anyhow::Result<()> {
    timeout(PATIENCE, exchange(socket, destination, expected))
        .await
        .with_context(|| format!("the probe to {destination} got no answer within 5 s"))?
        .with_context(|| format!("the probe to {destination} failed"))
}

async fn exchange(socket: Socket, destination: SocketAddr, expected: &Expected<'_>) -> anyhow::Result<()> {
    let stream = connect(socket, destination).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/")
        .header(HOST, destination.to_string())
        .header(HEADER, expected.token)
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await;
    connection.abort();
    let answer = answer?;
    let ours = answer.headers().get(HEADER).is_some_and(|token| token == expected.token);
    if !ours {
        bail!("it was answered by the application ({}), so connections are not steered", answer.status());
    }
    ensure!(answer.status() == expected.status, "the responder answered {}", answer.status());
    Ok(())
}

/// Connects a socket that does not block.
pub(crate) async fn connect(socket: Socket, destination: SocketAddr) -> std::io::Result<TcpStream> {
    tokio::net::TcpSocket::from_std_stream(socket.into()).connect(destination).await
}
