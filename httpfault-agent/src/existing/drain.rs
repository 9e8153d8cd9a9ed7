//! The gentle way: the connection is ended between two requests, as an idle timeout would.

use std::{io, net::Shutdown};

use socket2::Socket;

/// GOAWAY with NO_ERROR and the highest stream: streams that are open go on, no new ones come (RFC 9113 section 6.8).
const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// The application reads an end of input and closes, as it does when a client goes.
pub(super) fn end_input(socket: &Socket) -> io::Result<()> {
    socket.shutdown(Shutdown::Read)
}

/// For applications that go on waiting after the end of input: the client is told in order.
pub(super) fn end(socket: &Socket) -> io::Result<()> {
    socket.shutdown(Shutdown::Both)
}

/// Tells an HTTP/2 client to open its next streams elsewhere. Only at a moment at which nothing is on its way in either
/// direction, so that the frame stands between two of the application's.
pub(super) fn go_away(socket: &Socket) -> io::Result<()> {
    let sent = rustix::net::send(
        socket,
        &GOAWAY,
        rustix::net::SendFlags::DONTWAIT | rustix::net::SendFlags::NOSIGNAL,
    )?;
    if sent == GOAWAY.len() { Ok(()) } else { Err(io::Error::other("the connection takes no whole frame")) }
}
