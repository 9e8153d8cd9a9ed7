//! A stream of bytes with those that were read from it and not used yet.

use std::{
    io,
    net::Shutdown,
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpStream, UnixStream, tcp, unix},
    time::timeout,
};
use tokio_util::{either::Either, io::poll_read_buf};

/// Room made for one read, bytes.
pub(crate) const READ_SIZE: usize = 16 * 1024;
/// And for the first: a request head. Most connections never need more, and larger ones cost the allocator a mapping.
const FIRST_READ: usize = 2 * 1024;

/// After this time without an answer to what was sent, a client is gone.
const SEND_TIME: Duration = Duration::from_secs(120);

/// Sends at once. Heads and bodies are written in pieces; waiting for acknowledgements between them would delay every
/// answer.
pub(crate) fn send_at_once<'a>(socket: impl Into<SockRef<'a>>) {
    if let Err(error) = socket.into().set_tcp_nodelay(true) {
        log::debug!("TCP_NODELAY could not be set: {error}");
    }
}

/// What a listener has, its connections have: they send at once, and the kernel ends those whose clients have vanished or
/// take nothing for a long time.
pub(crate) fn keep_alive<'a>(listener: impl Into<SockRef<'a>>) {
    let listener = listener.into();
    let probes = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    let kept = listener
        .set_tcp_nodelay(true)
        .and_then(|()| listener.set_tcp_keepalive(&probes))
        .and_then(|()| listener.set_tcp_user_timeout(Some(SEND_TIME)));
    if let Err(error) = kept {
        log::debug!("a listener could not be prepared: {error}");
    }
}

/// An accepted connection or one to the application, or a connection that was adopted.
pub(crate) type Stream = Either<TcpStream, UnixStream>;
pub(crate) type ReadHalf<'a> = Either<tcp::ReadHalf<'a>, unix::ReadHalf<'a>>;
pub(crate) type WriteHalf<'a> = Either<tcp::WriteHalf<'a>, unix::WriteHalf<'a>>;

/// Either end of a relay: the client's connection or the application's.
#[derive(Debug)]
pub(crate) struct Buffered {
    stream: Stream,
    /// Read ahead, not used yet.
    pub(crate) buf: BytesMut,
}

impl Buffered {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self::with(stream, BytesMut::new())
    }

    /// One from which `buf` was read already.
    pub(crate) fn with(stream: TcpStream, buf: BytesMut) -> Self {
        Self { stream: Either::Left(stream), buf }
    }

    pub(crate) fn adopted(stream: UnixStream) -> Self {
        Self { stream: Either::Right(stream), buf: BytesMut::new() }
    }

    /// Both directions, and what was read ahead.
    pub(crate) fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>, &mut BytesMut) {
        match &mut self.stream {
            Either::Left(tcp) => {
                let (read, write) = tcp.split();
                (Either::Left(read), Either::Left(write), &mut self.buf)
            }
            Either::Right(unix) => {
                let (read, write) = unix.split();
                (Either::Right(read), Either::Right(write), &mut self.buf)
            }
        }
    }

    /// Reads more; 0 is the end of the stream. Cancel safe.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        self.buf.reserve(if self.buf.capacity() == 0 { FIRST_READ } else { READ_SIZE });
        self.stream.read_buf(&mut self.buf).await
    }

    /// Reads more, for callers that poll.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.buf.reserve(READ_SIZE);
        poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.buf)
    }

    /// Reads past what was read ahead, into other room.
    pub(crate) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }

    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Ready when there is something to read, the end or an error included.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.stream {
            // Looking is what makes the runtime forget a readiness that is over.
            Either::Left(tcp) => tcp.poll_peek(cx, &mut ReadBuf::new(&mut [0])).map(drop),
            Either::Right(unix) => unix.poll_read_ready(cx).map(drop),
        }
    }

    /// Whether nothing was read ahead and nothing waits to be read, not even the end.
    pub(crate) fn is_quiet(&self) -> bool {
        self.buf.is_empty() && self.has_nothing_to_read()
    }

    /// Whether closing now resets nothing, as far as what came until now goes: all of it was read, or the peer's end is
    /// all there is.
    pub(crate) fn is_read(&self) -> bool {
        let look = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        self.buf.is_empty() && !matches!(recv(self.socket(), &mut [0; 1], look), Ok((1.., _)))
    }

    /// Asks the kernel: the runtime learns what arrived only when it looks at its own events.
    pub(crate) fn has_nothing_to_read(&self) -> bool {
        let look = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        recv(self.socket(), &mut [0; 1], look).err() == Some(Errno::AGAIN)
    }

    fn socket(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Either::Left(tcp) => tcp.as_fd(),
            Either::Right(unix) => unix.as_fd(),
        }
    }

    /// The client may stop reading for as long as the application lets it.
    pub(crate) fn may_pause(&self) {
        if matches!(self.stream, Either::Left(_))
            && let Err(error) = SockRef::from(&self.socket()).set_tcp_user_timeout(None)
        {
            log::debug!("TCP_USER_TIMEOUT could not be set: {error}");
        }
    }

    /// Makes closing a reset, for a connection on which nothing is under way.
    pub(crate) fn reset_on_drop(&self) {
        if let Err(error) = SockRef::from(&self.socket()).set_linger(Some(Duration::ZERO)) {
            log::debug!("SO_LINGER could not be set: {error}");
        }
    }

    /// Ends our side; the peer reads the end after the last byte.
    pub(crate) fn end_writing(&self) {
        if let Err(error) = SockRef::from(&self.socket()).shutdown(Shutdown::Write) {
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

impl AsyncRead for Buffered {
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

impl AsyncWrite for Buffered {
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
