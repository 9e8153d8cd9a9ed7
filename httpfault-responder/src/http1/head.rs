//! Heads of HTTP/1 messages, as far as relaying and deciding need them. No I/O.

use httparse::{EMPTY_HEADER, Header, Status};
use hyper::{
    HeaderMap, StatusCode, Version,
    header::{HeaderName, HeaderValue},
};

use super::framing::{self, Framing};

/// More header lines than this are not looked at; the application may still take them.
const MAX_HEADERS: usize = 256;

/// The head of a request.
#[derive(Debug)]
pub(super) struct RequestHead {
    /// Bytes from the beginning of the buffer, empty lines before the request included.
    pub(super) len: usize,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    pub(super) framing: Framing,
}

/// The head of a response, interim or final.
#[derive(Debug)]
pub(super) struct ResponseHead {
    pub(super) len: usize,
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
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
    pub(super) fn parse(bytes: &[u8]) -> Parsed<Self> {
        let mut lines = [EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut lines);
        let len = match request.parse(bytes) {
            Ok(Status::Complete(len)) => len,
            Ok(Status::Partial) => return Parsed::Partial,
            Err(_) => return Parsed::NotUnderstood,
        };
        let read = || {
            let version = version(request.version)?;
            let headers = header_map(request.headers)?;
            let framing = framing::of_request(version, &headers).ok()?;
            let (method, target) = (request.method?.to_owned(), request.path?.to_owned());
            Some(Self { len, method, target, version, headers, framing })
        };
        read().map_or(Parsed::NotUnderstood, Parsed::Complete)
    }

    pub(super) fn keeps_alive(&self) -> bool {
        framing::keeps_alive(self.version, &self.headers)
    }

    /// Whether it may be sent again when a kept connection turns out to be dead (RFC 9110 section 9.2.2).
    pub(super) fn can_be_repeated(&self) -> bool {
        self.framing == Framing::Length(0)
            && matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
    }
}

impl ResponseHead {
    pub(super) fn parse(bytes: &[u8]) -> Parsed<Self> {
        let mut lines = [EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut lines);
        let len = match response.parse(bytes) {
            Ok(Status::Complete(len)) => len,
            Ok(Status::Partial) => return Parsed::Partial,
            Err(_) => return Parsed::NotUnderstood,
        };
        let read = || {
            let status = StatusCode::from_u16(response.code?).ok()?;
            let (version, headers) = (version(response.version)?, header_map(response.headers)?);
            Some(Self { len, status, version, headers })
        };
        read().map_or(Parsed::NotUnderstood, Parsed::Complete)
    }

    pub(super) fn keeps_alive(&self) -> bool {
        framing::keeps_alive(self.version, &self.headers)
    }
}

/// The head `raw` with `Connection: close` in place of what it said about keeping the connection; every other line
/// stays as it is, byte for byte.
pub(super) fn with_close(raw: &[u8]) -> Vec<u8> {
    let mut edited = Vec::with_capacity(raw.len() + 20);
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
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

fn says_keep_alive(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
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

fn header_map(lines: &[Header<'_>]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(line.value).ok()?);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_leaves_every_other_line_alone() {
        let raw = b"HTTP/1.1 200 OK\r\nX-a:  1\r\nconnection: Keep-Alive\r\nx-A: 2\r\nKeep-Alive: timeout=5\r\n\r\n";
        let expected = b"HTTP/1.1 200 OK\r\nX-a:  1\r\nx-A: 2\r\nConnection: close\r\n\r\n";
        assert_eq!(with_close(raw), expected);
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
        ] {
            assert!(matches!(RequestHead::parse(head.as_bytes()), Parsed::NotUnderstood), "{head:?}");
        }
    }

    #[test]
    fn length_counts_the_whole_head() {
        let bytes = b"\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b";
        let Parsed::Complete(head) = RequestHead::parse(bytes) else { panic!("not complete") };
        assert_eq!(&bytes[head.len..], b"GET /b");
        assert_eq!(head.target, "/a");
    }
}
