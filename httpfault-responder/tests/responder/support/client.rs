//! A client that sends and reads bytes, and fails on a reset.

use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};
use tokio_util::either::Either;

use super::in_time;

pub(crate) struct Client {
    pub(crate) stream: Either<TcpStream, UnixStream>,
    buf: BytesMut,
}

/// One HTTP/1 response.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Status line and headers, as sent.
    pub(crate) head: String,
    /// Decoded from chunks.
    pub(crate) body: Vec<u8>,
    /// As sent.
    pub(crate) raw_body: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = in_time("connect", TcpStream::connect(address)).await.unwrap();
        Self { stream: Either::Left(stream), buf: BytesMut::new() }
    }

    /// One whose bytes the responder gets over a pair of sockets.
    pub(crate) fn over(stream: UnixStream) -> Self {
        Self { stream: Either::Right(stream), buf: BytesMut::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        in_time("send", self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    pub(crate) async fn end(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    async fn fill(&mut self) -> usize {
        in_time("read", self.stream.read_buf(&mut self.buf)).await.unwrap()
    }

    pub(crate) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.buf.len() < count {
            assert!(self.fill().await > 0, "ended after {:?}", String::from_utf8_lossy(&self.buf));
        }
        self.buf.split_to(count).to_vec()
    }

    pub(crate) async fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let got = self.exactly(bytes.as_ref().len()).await;
        assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(bytes.as_ref()));
    }

    /// Everything to the end of the stream.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await > 0 {}
        self.buf.split().to_vec()
    }

    pub(crate) async fn expect_end(&mut self) {
        let rest = self.rest().await;
        assert!(rest.is_empty(), "more came: {:?}", String::from_utf8_lossy(&rest));
    }

    async fn through(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.buf.windows(end.len()).position(|window| window == end) {
                return self.exactly(at + end.len()).await;
            }
            assert!(self.fill().await > 0, "ended after {:?}", String::from_utf8_lossy(&self.buf));
        }
    }

    pub(crate) async fn head(&mut self) -> String {
        String::from_utf8(self.through(b"\r\n\r\n").await).unwrap()
    }

    /// The response to a request with this method.
    pub(crate) async fn reply(&mut self, method: &str) -> Reply {
        let head = self.head().await;
        let mut reply = Reply { head, body: vec![], raw_body: vec![] };
        if method == "HEAD" || [204, 304].contains(&reply.status()) || reply.status() < 200 {
            return reply;
        }
        if reply.header("transfer-encoding").is_some_and(|coding| coding.ends_with("chunked")) {
            self.chunks(&mut reply).await;
        } else if let Some(length) = reply.header("content-length") {
            reply.body = self.exactly(length.parse().unwrap()).await;
        } else {
            reply.body = self.rest().await;
        }
        reply
    }

    async fn chunks(&mut self, reply: &mut Reply) {
        loop {
            let line = self.through(b"\r\n").await;
            reply.raw_body.extend(&line);
            let size = String::from_utf8(line).unwrap();
            let size = size.trim().split(';').next().unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            if size == 0 {
                break;
            }
            let data = self.exactly(size).await;
            reply.raw_body.extend(&data);
            reply.body.extend(data);
            reply.raw_body.extend(self.exactly(2).await);
        }
        loop {
            let line = self.through(b"\r\n").await;
            reply.raw_body.extend(&line);
            if line == b"\r\n" {
                return;
            }
        }
    }

    /// Returns when something has come, the end or a reset included.
    pub(crate) async fn readable(&self) {
        let _ready = match &self.stream {
            Either::Left(tcp) => tcp.readable().await,
            Either::Right(unix) => unix.readable().await,
        };
    }

    /// Whether nothing has come yet that was not read.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let read = match &self.stream {
            Either::Left(tcp) => tcp.try_read(&mut [0; 1]),
            Either::Right(unix) => unix.try_read(&mut [0; 1]),
        };
        self.buf.remaining() == 0 && read.is_err()
    }
}

impl Reply {
    pub(crate) fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    pub(crate) fn status_line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    /// All values of a header.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let all = self.headers(name);
        assert!(all.len() < 2, "{name} came {} times", all.len());
        all.first().copied()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}
