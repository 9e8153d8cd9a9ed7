//! A connection that is passed to the application as it is, and the requests that go over it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use hyper::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{context::Context, sniff::HTTP2_PREFACE, stats::add_one, stream::Buffered};

/// The length of a frame's head (RFC 9113 section 4.1), and the frame that begins a request.
const HEAD: usize = 9;
const HEADERS: u8 = 1;

/// A client whose requests are counted while its bytes are passed.
pub(crate) struct Passed {
    client: Buffered,
    requests: Requests,
    context: Arc<Context>,
}

impl Passed {
    pub(crate) fn new(client: Buffered, context: &Arc<Context>) -> Self {
        Self { client, requests: Requests::default(), context: Arc::clone(context) }
    }
}

/// Counts requests in what a client sends, at whatever cuts.
#[derive(Debug)]
struct Requests {
    /// Bytes until the next frame.
    skip: usize,
    head: [u8; HEAD],
    /// How much of it is here.
    known: usize,
    /// The last stream that was begun; trailers of one are HEADERS too.
    last: u32,
}

impl Default for Requests {
    fn default() -> Self {
        Self { skip: HTTP2_PREFACE.len(), head: [0; HEAD], known: 0, last: 0 }
    }
}

impl Requests {
    /// How many begin in these bytes.
    fn begun(&mut self, mut bytes: &[u8]) -> u64 {
        let mut count = 0;
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            let taken = (HEAD - self.known).min(bytes.len() - skipped);
            self.head[self.known..][..taken].copy_from_slice(&bytes[skipped..][..taken]);
            self.known += taken;
            bytes = &bytes[skipped + taken..];
            if self.known == HEAD {
                self.known = 0;
                let [high, middle, low, kind, _flags, stream @ ..] = self.head;
                self.skip = u32::from_be_bytes([0, high, middle, low]) as usize;
                // The first bit is reserved.
                let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
                if kind == HEADERS && stream > self.last {
                    self.last = stream;
                    count += 1;
                }
            }
        }
        count
    }
}

impl AsyncRead for Passed {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        let read = Pin::new(&mut this.client).poll_read(cx, out);
        for _ in 0..this.requests.begun(&out.filled()[before..]) {
            this.context.stats.count_request(Version::HTTP_2);
            add_one(&this.context.stats.here().spared);
        }
        read
    }
}

impl AsyncWrite for Passed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut task::Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().client).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().client).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().client).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, stream: u8, length: u8) -> Vec<u8> {
        let head = [0, 0, length, kind, 0, 0, 0, 0, stream];
        head.into_iter().chain(vec![HEADERS; usize::from(length)]).collect()
    }

    #[test]
    fn each_new_stream_is_a_request_at_whatever_cuts() {
        let frames =
            [frame(4, 0, 6), frame(1, 1, 20), frame(0, 1, 0), frame(1, 1, 3), frame(1, 3, 0)].concat();
        let bytes = [HTTP2_PREFACE, &frames].concat();
        for size in 1..bytes.len() {
            let mut requests = Requests::default();
            let count: u64 = bytes.chunks(size).map(|piece| requests.begun(piece)).sum();
            assert_eq!(count, 2, "in pieces of {size}");
        }
    }
}
