//! What the first bytes of a connection are. No I/O.

/// The client connection preface of HTTP/2 (RFC 9113 section 3.4).
pub(crate) const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How a PROXY protocol header begins, version 1 and 2 (HAProxy's proxy-protocol.txt, sections 2.1 and 2.2).
const PROXY_V1: &[u8] = b"PROXY ";
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longer than any registered method (RFC 9110 section 16.1).
const MAX_METHOD: usize = 64;
/// A request line that is longer than this is taken for HTTP/1 without having seen its end, bytes.
const MAX_LINE: usize = 16 * 1024;

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    /// With prior knowledge.
    Http2,
    /// A TLS record.
    Tls,
    /// A load balancer's header; what follows it is anything.
    ProxyHeader,
    Other,
}

/// `None`: more bytes are needed to tell.
pub(crate) fn sniff(bytes: &[u8]) -> Option<Protocol> {
    let first = *bytes.first()?;
    if first == 0x16 {
        // ContentType handshake, then legacy_record_version 3.x (RFC 8446 section 5.1).
        return bytes.get(1).map(|major| if *major == 3 { Protocol::Tls } else { Protocol::Other });
    }
    if bytes.len() >= HTTP2_PREFACE.len() && bytes.starts_with(HTTP2_PREFACE) {
        return Some(Protocol::Http2);
    }
    if bytes.starts_with(PROXY_V2) {
        return Some(Protocol::ProxyHeader);
    }
    if HTTP2_PREFACE.starts_with(bytes) || PROXY_V2.starts_with(bytes) {
        return None;
    }
    sniff_request_line(skip_empty_lines(bytes))
}

/// A server ignores empty lines before a request line (RFC 9112 section 2.2).
fn skip_empty_lines(mut bytes: &[u8]) -> &[u8] {
    while let [b'\r', b'\n', rest @ ..] | [b'\n', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

fn sniff_request_line(bytes: &[u8]) -> Option<Protocol> {
    let method = bytes.iter().position(|byte| !is_token(*byte)).unwrap_or(bytes.len());
    if method == bytes.len() {
        return if method > MAX_METHOD { Some(Protocol::Other) } else { None };
    }
    if bytes == b"\r" {
        return None;
    }
    if method == 0 || method > MAX_METHOD || bytes[method] != b' ' {
        return Some(Protocol::Other);
    }
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return match (is_text(bytes), bytes.len() > MAX_LINE) {
            (false, _) => Some(Protocol::Other),
            (true, true) => Some(Protocol::Http1),
            (true, false) => None,
        };
    };
    // The same with its end as without.
    if !is_text(&bytes[..end]) {
        return Some(Protocol::Other);
    }
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    // A later 1.x would be read as 1.1 (RFC 9110 section 2.5).
    let http1 =
        line.split_last().is_some_and(|(minor, rest)| minor.is_ascii_digit() && rest.ends_with(b" HTTP/1."));
    Some(match http1 {
        true => Protocol::Http1,
        false if line.starts_with(PROXY_V1) => Protocol::ProxyHeader,
        false => Protocol::Other,
    })
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\r')
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(bytes: &[u8], protocol: Protocol) {
        assert_eq!(sniff(bytes), Some(protocol));
        for cut in 0..bytes.len() {
            let early = sniff(&bytes[..cut]);
            assert!(early.is_none_or(|early| early == protocol), "{:?} is {early:?}", &bytes[..cut]);
        }
    }

    #[test]
    fn http1() {
        is(b"GET / HTTP/1.1\r\n", Protocol::Http1);
        is(b"M-SEARCH * HTTP/1.0\r\n", Protocol::Http1);
        is(b"\r\n\r\nPOST /a HTTP/1.1\n", Protocol::Http1);
        is(b"PRI / HTTP/1.1\r\n", Protocol::Http1);
        is(b"CONNECT a:1 HTTP/1.1\r\n", Protocol::Http1);
    }

    #[test]
    fn http2() {
        is(HTTP2_PREFACE, Protocol::Http2);
    }

    #[test]
    fn tls() {
        is(&[0x16, 3, 1, 2, 0], Protocol::Tls);
    }

    #[test]
    fn headers_of_load_balancers() {
        is(b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 80\r\n", Protocol::ProxyHeader);
        is(b"\r\n\r\n\0\r\nQUIT\n\x21\x11", Protocol::ProxyHeader);
        is(b"PROXY / HTTP/1.1\r\n", Protocol::Http1);
        is(b"\r\n\r\n\0\r\nQUEST", Protocol::Other);
    }

    #[test]
    fn other() {
        is(&[0x16, 9], Protocol::Other);
        is(b"PING\r\n", Protocol::Other);
        is(b"SET key value\r\n", Protocol::Other);
        is(b"GET /\r\n", Protocol::Other);
        is(b"\x00\x01\x02", Protocol::Other);
        is(b"*1\r\n$4\r\nPING\r\n", Protocol::Other);
        is(b"SSH-2.0-OpenSSH_9.6\r\n", Protocol::Other);
        is(&[b'A'; 100], Protocol::Other);
    }

    #[test]
    fn nothing_changes_what_it_is_taken_for() {
        use crate::fuzz::{CORPUS, Random, bytes};

        let check = |bytes: &[u8]| {
            let whole = sniff(bytes);
            for cut in 0..bytes.len() {
                let early = sniff(&bytes[..cut]);
                assert!(early.is_none() || early == whole, "{early:?} of {cut} bytes, then {whole:?}");
            }
        };
        CORPUS.iter().for_each(|message| check(message.as_bytes()));
        bolero::check!().with_type::<Random>().for_each(|random| check(&bytes(random)));
    }

    #[test]
    fn a_very_long_request_line_is_http1() {
        let line = format!("GET /{}", "a".repeat(MAX_LINE));
        is(line.as_bytes(), Protocol::Http1);
    }
}
