//! A listening socket that hands out sockets the runtime does not know yet.

use std::{io, os::fd::OwnedFd};

use nix::{setsockopt_impl, sockopt_impl, sys::socket::setsockopt};
use rustix::net::{SocketFlags, accept_with};
use tokio::{
    io::Interest,
    net::{TcpListener, TcpStream},
};

/// Tokio's own listener registers each connection with epoll before anybody has looked at it.
///
/// For waiting, one socket is as good as another: a stream is the kind whose operations can be brought along. (`AsyncFd`
/// is meant for that, and asks for a promise in unsafe code.)
#[derive(Debug)]
pub(crate) struct Listening(TcpStream);

sockopt_impl!(
    /// Seconds after which the kernel asks a client once more, and then takes its silence (tcp(7)).
    DeferAccept,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_DEFER_ACCEPT,
    libc::c_int
);

/// The least that the kernel knows.
const SILENCE: libc::c_int = 1;

impl Listening {
    /// Connections come with their first bytes, or after a second without any. So a request is there when its
    /// connection is looked at, which spares the runtime from waiting for it. Until then a connection is a handshake to
    /// the kernel, so that a listener is to close two seconds after its last client connected.
    pub(crate) fn new(listener: TcpListener) -> io::Result<Self> {
        let socket = OwnedFd::from(listener.into_std()?);
        setsockopt(&socket, DeferAccept, &SILENCE)?;
        TcpStream::from_std(socket.into()).map(Self)
    }

    /// Returns when there is somebody to accept.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.0.readable().await
    }

    /// The next connection; `WouldBlock` if there is none. It does not block.
    pub(crate) fn try_accept(&self) -> io::Result<OwnedFd> {
        self.0.try_io(Interest::READABLE, || self.accept_now())
    }

    /// The same, without asking whether the runtime has noticed one.
    pub(crate) fn accept_now(&self) -> io::Result<OwnedFd> {
        Ok(accept_with(&self.0, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?)
    }
}
