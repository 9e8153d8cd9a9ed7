//! A TCP stream with the bytes that were read from it and not used yet.

use std::{
    io,
    net::Shutdown,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};

/// Room made for one read, bytes.
pub(crate) const READ_SIZE: usize = 16 * 1024;
/// And for the first: a request head. Most connections never need more, and larger ones cost the allocator a mapping.
const FIRST_READ: usize = 2 * 1024;

/// Sends at once. Heads and bodies are written in pieces; waiting for acknowledgements between them would delay every
/// answer. What a listener accepts has it from the listener.
pub(crate) fn send_at_once<'a>(socket: impl Into<SockRef<'a>>) {
    if let Err(error) = socket.into().set_tcp_nodelay(true) {
        log::debug!("TCP_NODELAY could not be set: {error}");
    }
}

/// Either end of a relay: the client's connection or the application's.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    /// Read ahead, not used yet.
    pub(crate) buf: BytesMut,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, buf: BytesMut::new() }
    }

    /// Reads more; 0 is the end of the stream. Cancel safe.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        self.buf.reserve(if self.buf.capacity() == 0 { FIRST_READ } else { READ_SIZE });
        self.stream.read_buf(&mut self.buf).await
    }

    /// Whether a kept connection is still of use: nothing unasked arrived on it, not even its end.
    pub(crate) fn is_quiet(&self) -> bool {
        let unasked = self.stream.try_read(&mut [0; 1]);
        self.buf.is_empty() && unasked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Ends our side; the peer reads the end after the last byte.
    pub(crate) fn end_writing(&self) {
        if let Err(error) = SockRef::from(&self.stream).shutdown(Shutdown::Write) {
            log::trace!("the peer was gone before its connection was closed: {error}");
        }
    }

    /// Closes so that the peer gets everything that was written: closing a socket with unread bytes resets the
    /// connection, and the reset can overtake the last response (RFC 9112 section 9.6).
    pub(crate) async fn linger(mut self, time: Duration) {
        self.end_writing();
        let mut waste = vec![0; READ_SIZE];
        let drain = async { while let Ok(1..) = self.stream.read(&mut waste).await {} };
        if timeout(time, drain).await.is_err() {
            log::debug!("the client did not close its connection");
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.buf.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, out);
        }
        let count = self.buf.len().min(out.remaining());
        out.put_slice(&self.buf[..count]);
        self.buf.advance(count);
        if self.buf.is_empty() {
            // Whoever reads has buffers of its own, and may keep the connection for long.
            self.buf = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
