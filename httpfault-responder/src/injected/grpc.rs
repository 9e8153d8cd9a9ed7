//! gRPC: a failed call is an HTTP 200 whose trailers say so
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use std::fmt::Write as _;

use httpfault_common::contract::GrpcError;
use hyper::{
    HeaderMap, StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// What went wrong in detail; it belongs to the status that it came with.
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const KIND: &str = "application/grpc";
pub(super) const CONTENT: HeaderValue = HeaderValue::from_static(KIND);

/// The end of a faulted call.
pub(super) struct Failure {
    status: HeaderValue,
    message: HeaderValue,
}

impl Failure {
    pub(super) fn new(http: StatusCode, given: &GrpcError, chaos: &str) -> Self {
        let status = given.status.map_or_else(|| from_http(http), u8::from);
        let message = encode(given.message.as_deref().unwrap_or(chaos.trim_end()));
        let message = HeaderValue::from_str(&message).unwrap_or(HeaderValue::from_static(""));
        Self { status: HeaderValue::from(u16::from(status)), message }
    }

    /// Puts itself in place of what headers or trailers said of the call.
    pub(super) fn write(&self, fields: &mut HeaderMap) {
        fields.remove(DETAILS);
        fields.insert(STATUS, self.status.clone());
        fields.insert(MESSAGE, self.message.clone());
    }
}

/// Whether a message is gRPC, in any encoding of messages. grpc-web is not: it has its own framing and any HTTP version.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let prefix = KIND.as_bytes();
    kind.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
        && matches!(kind.get(prefix.len()), None | Some(b'+' | b';' | b' '))
}

/// What a client makes of an HTTP status without a gRPC one, so that both kinds of clients see the same fault
/// (<https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>).
fn from_http(status: StatusCode) -> u8 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// Percent-encoding of `grpc-message`.
fn encode(message: &str) -> String {
    let mut encoded = String::new();
    for byte in message.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(byte.into());
        } else {
            // Writing to a string does not fail.
            let _ok = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
