//! Smithy's RPC v2 protocol: a path names the operation, bodies are CBOR (smithy.io, "Smithy RPC v2 CBOR protocol").

use bytes::Bytes;
use ciborium::Value as Cbor;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use serde_json::Value;

use super::{ApiError, header, response};

/// The tag of a time in seconds since 1970 (RFC 8949 section 3.4.2).
const EPOCH: u64 = 1;
const PROTOCOL: &str = "rpc-v2-cbor";

/// Service and operation of a request in this protocol.
pub(super) fn operation(head: &Parts) -> Option<(&str, &str)> {
    let rest = head.uri.path().strip_prefix("/service/")?;
    let (service, operation) = rest.split_once("/operation/")?;
    (header(head, "smithy-protocol") == PROTOCOL).then_some((service, operation))
}

pub(super) fn request(body: &[u8]) -> Result<Value, ApiError> {
    ciborium::from_reader(body)
        .map_err(|problem| ApiError::new("SerializationException", problem.to_string()))
}

pub(super) fn answer(status: hyper::StatusCode, value: Value) -> Response<Full<Bytes>> {
    let mut body = Vec::new();
    if let Err(problem) = ciborium::into_writer(&encode("", value), &mut body) {
        return super::plain(hyper::StatusCode::INTERNAL_SERVER_ERROR, &problem.to_string());
    }
    let mut response = response(status, "application/cbor", Bytes::from(body));
    let name = HeaderName::from_static("smithy-protocol");
    response.headers_mut().insert(name, HeaderValue::from_static(PROTOCOL));
    response
}

/// Times have a tag; their members are called so.
fn encode(name: &str, value: Value) -> Cbor {
    match value {
        Value::Number(number) if name.ends_with("Timestamp") => {
            Cbor::Tag(EPOCH, Box::new(Cbor::Float(number.as_f64().unwrap_or_default())))
        }
        Value::Null => Cbor::Null,
        Value::Bool(value) => Cbor::Bool(value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Cbor::Integer(whole.into()),
            None => Cbor::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Cbor::Text(text),
        Value::Array(items) => Cbor::Array(items.into_iter().map(|item| encode("", item)).collect()),
        Value::Object(members) => {
            let pair = |(name, value): (String, Value)| {
                let value = encode(&name, value);
                (Cbor::Text(name), value)
            };
            Cbor::Map(members.into_iter().map(pair).collect())
        }
    }
}
