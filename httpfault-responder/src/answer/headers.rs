//! Headers that belong to one connection and not to the message (RFC 9110 section 7.6.1).

use hyper::{
    HeaderMap,
    header::{
        CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
    },
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Removes them, except Transfer-Encoding: hyper frames the message anew and takes the codings from there.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in named_by_connection(headers) {
        // A sender cannot have the message reframed or misrouted by naming these.
        if ![CONTENT_LENGTH, TRANSFER_ENCODING, HOST].contains(&name) {
            headers.remove(name);
        }
    }
    for name in [CONNECTION, UPGRADE, KEEP_ALIVE, PROXY_CONNECTION] {
        headers.remove(name);
    }
}

/// The same for a request; keeps the client's word that it takes trailers.
pub(super) fn remove_hop_by_hop_of_request(headers: &mut HeaderMap, is_http1: bool) {
    let takes_trailers = contains_word(headers, &TE, "trailers");
    remove_hop_by_hop(headers);
    headers.remove(TE);
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        if is_http1 {
            headers.insert(CONNECTION, HeaderValue::from_static("te"));
        }
    }
}

pub(super) fn expects_continue(headers: &HeaderMap) -> bool {
    contains_word(headers, &EXPECT, "100-continue")
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    words(headers, &CONNECTION).filter_map(|word| HeaderName::from_bytes(word.as_bytes()).ok()).collect()
}

fn contains_word(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    words(headers, name).any(|word| word.eq_ignore_ascii_case(wanted))
}

fn words<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|word| word.split(';').next().unwrap_or(word).trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn what_connection_names_goes_and_framing_stays() {
        let mut all = headers(&[
            ("connection", "close, X-Hop, content-length, Host"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("upgrade", "websocket"),
            ("content-length", "3"),
            ("host", "a"),
            ("x-end", "1"),
        ]);
        remove_hop_by_hop(&mut all);
        assert_eq!(all, headers(&[("content-length", "3"), ("host", "a"), ("x-end", "1")]));
    }

    #[test]
    fn the_word_that_trailers_are_taken_stays() {
        let mut http1 = headers(&[("te", "gzip;q=0.5, trailers"), ("connection", "TE")]);
        remove_hop_by_hop_of_request(&mut http1, true);
        assert_eq!(http1, headers(&[("te", "trailers"), ("connection", "te")]));
        let mut http2 = headers(&[("te", "trailers")]);
        remove_hop_by_hop_of_request(&mut http2, false);
        assert_eq!(http2, headers(&[("te", "trailers")]));
    }
}
