//! The responder's listening sockets: on loopback in the target's namespace, so that nobody outside reaches them.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use anyhow::{Context as _, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{datapath::Responders, netns::Netns};

/// Accept queue. The kernel caps it at net.core.somaxconn, 4096 by default.
const BACKLOG: i32 = 4096;

/// Binds one socket for each family that the namespace has.
pub(super) fn bind(netns: &Netns, port: u16) -> anyhow::Result<Responders> {
    let (v4, v6) = netns
        .run(|| (listener(Ipv4Addr::LOCALHOST.into(), port), listener(Ipv6Addr::LOCALHOST.into(), port)))
        .context("entering the target's network namespace")?;
    let unless_absent = |bound: io::Result<Socket>| match bound {
        Ok(socket) => Ok(Some(socket)),
        Err(why) if is_absent(&why) => Ok(None),
        Err(why) => {
            Err(why).with_context(|| format!("listening on loopback port {port} in the target's namespace"))
        }
    };
    let responders = Responders { v4: unless_absent(v4)?, v6: unless_absent(v6)? };
    ensure!(
        responders.v4.is_some() || responders.v6.is_some(),
        "the target's namespace has no loopback address"
    );
    Ok(responders)
}

fn listener(ip: std::net::IpAddr, port: u16) -> io::Result<Socket> {
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if ip.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of an earlier fault may be in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// The namespace has no such family, or no such loopback address.
fn is_absent(why: &io::Error) -> bool {
    matches!(why.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT))
}
