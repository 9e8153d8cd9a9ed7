//! Heads of HTTP/1 messages, as far as relaying and deciding need them. No I/O.

use std::mem::MaybeUninit;

use httparse::{Header, Status};
use hyper::{Method, StatusCode, Uri, Version};

use super::framing::{self, Ambiguous, Framing, has_word};
use crate::{
    decide::{Facts, Headers as _, Verdict, path_of},
    injected::prefers_json,
};

/// More header lines than this are not looked at; the application may still take them.
pub(super) const MAX_HEADERS: usize = 256;

/// The head of a request, and what was decided about it.
#[derive(Debug)]
pub(crate) struct RequestHead {
    /// Bytes from the beginning of the buffer, empty lines before the request included.
    pub(super) len: usize,
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) framing: Framing,
    pub(super) keeps_alive: bool,
    /// It has an Expect header.
    pub(super) expects: bool,
    /// It offers to change to HTTP/2.
    pub(super) offers_h2c: bool,
    pub(super) prefers_json: bool,
    /// Whether hyper takes its target, which may be anything.
    pub(super) has_uri: bool,
    pub(super) verdict: Verdict,
}

/// The head of a response, interim or final.
#[derive(Debug)]
pub(super) struct ResponseHead {
    pub(super) len: usize,
    pub(super) status: StatusCode,
    pub(super) keeps_alive: bool,
    /// Of the body, if the response is one that has a body.
    pub(super) framing: Result<Framing, Ambiguous>,
}

/// What the bytes at hand are.
#[derive(Debug)]
pub(super) enum Parsed<T> {
    Complete(T),
    Partial,
    /// Not HTTP/1, or HTTP/1 that could be read in two ways.
    NotUnderstood,
}

impl RequestHead {
    /// `decide` is asked once, when the head is complete and can be read in one way.
    pub(super) fn parse(
        bytes: &[u8],
        decide: impl FnOnce(Facts<'_, [Header<'_>]>) -> Verdict,
    ) -> Parsed<Self> {
        let mut lines = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut []);
        let len = match request.parse_with_uninit_headers(bytes, &mut lines) {
            Ok(Status::Complete(len)) => len,
            Ok(Status::Partial) => return Parsed::Partial,
            Err(_) => return Parsed::NotUnderstood,
        };
        let read = || {
            let headers: &[Header<'_>] = request.headers;
            let version = version(request.version)?;
            let framing = framing::of_request(version, headers).ok()?;
            if has_bare_line_feed(&bytes[..len]) {
                return None;
            }
            let (method, target) = (request.method?, request.path?);
            Some(Self {
                len,
                method: Method::from_bytes(method.as_bytes()).ok()?,
                version,
                framing,
                keeps_alive: framing::keeps_alive(version, headers),
                expects: headers.values("expect").next().is_some(),
                offers_h2c: has_word(headers, "upgrade", "h2c"),
                prefers_json: prefers_json(headers),
                has_uri: is_uri(target),
                verdict: decide(Facts { method, path: path_of(target), headers }),
            })
        };
        read().map_or(Parsed::NotUnderstood, Parsed::Complete)
    }

    /// Whether it may be sent again when a kept connection turns out to be dead (RFC 9110 section 9.2.2).
    pub(super) fn can_be_repeated(&self) -> bool {
        self.framing == Framing::Length(0)
            && matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
    }

    /// Nothing of the client's comes after it.
    pub(super) fn is_last(&self) -> bool {
        !self.keeps_alive && self.framing == Framing::Length(0)
    }
}

impl ResponseHead {
    pub(super) fn parse(bytes: &[u8]) -> Parsed<Self> {
        let mut lines = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let len = match config.parse_response_with_uninit_headers(&mut response, bytes, &mut lines) {
            Ok(Status::Complete(len)) => len,
            Ok(Status::Partial) => return Parsed::Partial,
            Err(_) => return Parsed::NotUnderstood,
        };
        let read = || {
            let headers: &[Header<'_>] = response.headers;
            let status = StatusCode::from_u16(response.code?).ok()?;
            let keeps_alive = framing::keeps_alive(version(response.version)?, headers);
            Some(Self { len, status, keeps_alive, framing: framing::of_response(headers) })
        };
        read().map_or(Parsed::NotUnderstood, Parsed::Complete)
    }
}

/// Almost every target is a path of letters, which needs no parser.
fn is_uri(target: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~?=&".contains(&byte);
    target.starts_with('/') && target.bytes().all(is_plain) || Uri::try_from(target).is_ok()
}

/// Some take a line feed alone for the end of a line and some do not (RFC 9112 section 2.2).
fn has_bare_line_feed(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r')
}

/// The head `raw` with `Connection: close` in place of what it said about keeping the connection; every other line
/// stays as it is, byte for byte.
pub(super) fn with_close(raw: &[u8]) -> Vec<u8> {
    let mut edited = Vec::with_capacity(raw.len() + 20);
    // Empty lines before it are not its end.
    let begin = raw.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(0);
    edited.extend_from_slice(&raw[..begin]);
    for line in raw[begin..].split_inclusive(|byte| *byte == b'\n') {
        let is_end = line == b"\r\n" || line == b"\n";
        if is_end {
            edited.extend_from_slice(b"Connection: close\r\n");
        }
        if !says_keep_alive(line) {
            edited.extend_from_slice(line);
        }
    }
    edited
}

/// The head `raw` without its offer to change to HTTP/2, which an intermediary may leave out (RFC 9110 section 7.8);
/// every other line stays as it is.
pub(super) fn without_h2c(raw: &[u8]) -> Vec<u8> {
    let mut edited = Vec::with_capacity(raw.len());
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        let Some((name, value)) = field(line) else {
            edited.extend_from_slice(line);
            continue;
        };
        let gone: &[&[u8]] = if name.eq_ignore_ascii_case(b"upgrade") {
            &[b"h2c"]
        } else if name.eq_ignore_ascii_case(b"connection") {
            &[b"upgrade", b"http2-settings"]
        } else if name.eq_ignore_ascii_case(b"http2-settings") {
            continue;
        } else {
            edited.extend_from_slice(line);
            continue;
        };
        let words = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let left: Vec<&[u8]> =
            words.filter(|word| !gone.iter().any(|gone| gone.eq_ignore_ascii_case(word))).collect();
        if !left.is_empty() {
            edited.extend_from_slice(name);
            edited.extend_from_slice(b": ");
            edited.extend_from_slice(&left.join(&b", "[..]));
            edited.extend_from_slice(b"\r\n");
        }
    }
    edited
}

/// Name and value of a header line.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

fn says_keep_alive(line: &[u8]) -> bool {
    let Some((name, value)) = field(line) else { return false };
    name.eq_ignore_ascii_case(b"keep-alive")
        || name.eq_ignore_ascii_case(b"connection") && value.eq_ignore_ascii_case(b"keep-alive")
}

fn version(minor: Option<u8>) -> Option<Version> {
    match minor? {
        0 => Some(Version::HTTP_10),
        1 => Some(Version::HTTP_11),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Parsed<RequestHead> {
        RequestHead::parse(bytes, |facts| {
            assert!(facts.path.starts_with('/'));
            Verdict::Spare
        })
    }

    #[test]
    fn an_offer_of_http2_is_left_out() {
        let raw = b"GET / HTTP/1.1\r\nHost:a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
            HTTP2-Settings: AAMAAABkAAQAAP__\r\nX:  y\r\n\r\n";
        assert_eq!(without_h2c(raw), b"GET / HTTP/1.1\r\nHost:a\r\nX:  y\r\n\r\n");
        let raw = b"GET / HTTP/1.1\r\nConnection: te, upgrade\r\nUpgrade: h2c, foo\r\n\r\n";
        assert_eq!(without_h2c(raw), b"GET / HTTP/1.1\r\nConnection: te\r\nUpgrade: foo\r\n\r\n");
    }

    #[test]
    fn closing_leaves_every_other_line_alone() {
        let raw = b"HTTP/1.1 200 OK\r\nX-a:  1\r\nconnection: Keep-Alive\r\nx-A: 2\r\nKeep-Alive: timeout=5\r\n\r\n";
        let expected = b"HTTP/1.1 200 OK\r\nX-a:  1\r\nx-A: 2\r\nConnection: close\r\n\r\n";
        assert_eq!(with_close(raw), expected);
    }

    #[test]
    fn empty_lines_before_a_head_are_not_its_end() {
        let raw = b"\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n";
        assert_eq!(with_close(raw), b"\r\nHTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\n");
    }

    #[test]
    fn a_status_line_is_not_a_header() {
        assert_eq!(
            with_close(b"HTTP/1.1 200 a: b\r\n\r\n"),
            b"HTTP/1.1 200 a: b\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_not_understood() {
        for head in [
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nA : b\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "GET / HTTP/1.2\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
        ] {
            assert!(matches!(parse(head.as_bytes()), Parsed::NotUnderstood), "{head:?}");
        }
    }

    #[test]
    fn length_counts_the_whole_head() {
        let bytes = b"\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b";
        let Parsed::Complete(head) = parse(bytes) else { panic!("not complete") };
        assert_eq!(&bytes[head.len..], b"GET /b");
        assert_eq!(head.verdict, Verdict::Spare);
    }
}
