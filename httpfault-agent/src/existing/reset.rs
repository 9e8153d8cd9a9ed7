//! The hard way: the client is told that there is no such connection.

use std::{io, net::Shutdown, time::Duration};

use rustix::io::Errno;
use socket2::Socket;

/// Resets a connection through a borrowed descriptor of the application's end. No hook is needed: a connect() to
/// nowhere dissolves the connection, for a peer with a reset (tcp_disconnect() in net/ipv4/tcp.c).
pub(super) fn reset(socket: &Socket) -> io::Result<()> {
    match rustix::net::connect_unspec(socket) {
        // A thread of the application waits in recv(), and later kernels refuse (Linux 6.4, commit 4faeee0cf8a5). It
        // is woken by an end of input, and its close() resets.
        Err(Errno::BUSY) => {
            socket.set_linger(Some(Duration::ZERO))?;
            socket.shutdown(Shutdown::Read)
        }
        other => Ok(other?),
    }
}
