//! The answer that needs no application: built once, handed out for every request.

mod caching;
mod date;
mod grpc;
mod prebuilt;

pub(crate) use self::prebuilt::Shape;

use bytes::Bytes;
use headers_accept::Accept;
use httpfault_common::contract::{ExperimentId, Fault, HeaderLine, Replacement};
use hyper::{
    HeaderMap, Method, Response, StatusCode, Version,
    ext::ReasonPhrase,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue},
};
use mediatype::{MediaType, media_type};
use serde_json::json;

use self::prebuilt::Prebuilt;
use crate::decide::Headers;

/// Tells clients and people that a response was injected.
const MARKER: HeaderName = HeaderName::from_static("x-httpfault");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// In the order of our own preference, which decides where the client has none.
const OFFERED: [MediaType<'static>; 2] = [media_type!(TEXT / PLAIN), media_type!(APPLICATION / JSON)];

/// Everything that injected responses of one fault have in common.
pub(crate) struct Injected {
    status: StatusCode,
    /// Where the status has no standard phrase.
    reason: Option<ReasonPhrase>,
    /// RESPONSE_HEADERS and the marker.
    given: HeaderMap,
    /// The same, and what caches are told.
    headers: HeaderMap,
    grpc: grpc::Failure,
    text: Prepared,
    json: Prepared,
    /// The same as the bytes of HTTP/1.
    prebuilt: Prebuilt,
}

/// One representation. The headers are complete, so that a request costs one clone.
struct Prepared {
    body: Bytes,
    headers: HeaderMap,
}

impl Injected {
    pub(crate) fn new(fault: &Fault, experiment_id: &ExperimentId) -> Self {
        // The contract allows 200 to 599 and the driver checked it.
        let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let given = given_headers(fault, experiment_id);
        let mut headers = given.clone();
        caching::forbid(&mut headers);
        let grpc = grpc::Failure::new(status, &fault.grpc, &chaos_text(status, fault.marker, experiment_id));
        let [text, json] = representations(status, fault, experiment_id).map(|(content_type, body)| {
            let mut all = HeaderMap::new();
            if !is_bodiless(status) {
                all.insert(CONTENT_TYPE, content_type);
            }
            replace_headers(&mut all, &headers);
            let body = if is_bodiless(status) { Bytes::new() } else { body };
            Prepared { body, headers: all }
        });
        let reason = match status.canonical_reason() {
            Some(_) => None,
            None => Some(ReasonPhrase::from_static(b"Injected Fault")),
        };
        let prebuilt = Prebuilt::default();
        let built = Self { status, reason, given, headers, grpc, text, json, prebuilt };
        let prebuilt = Prebuilt::new(|shape| built.response_as(&shape.method(), shape.is_json));
        Self { prebuilt, ..built }
    }

    /// Appends the whole injected response to an HTTP/1 request.
    pub(crate) fn write(&self, shape: Shape, out: &mut Vec<u8>) {
        self.prebuilt.write(shape, out);
    }

    /// The whole injected response for a request.
    pub(crate) fn response(&self, method: &Method, accept: &HeaderMap) -> Response<Bytes> {
        self.response_as(method, prefers_json(accept))
    }

    fn response_as(&self, method: &Method, is_json: bool) -> Response<Bytes> {
        let prepared = if is_json { &self.json } else { &self.text };
        let mut response = Response::new(prepared.body.clone());
        *response.headers_mut() = prepared.headers.clone();
        if *method == Method::HEAD && !is_bodiless(self.status) {
            // The length that GET would have had (RFC 9110 section 9.3.2).
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(prepared.body.len()));
            *response.body_mut() = Bytes::new();
        }
        if self.status == StatusCode::RESET_CONTENT {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(0));
        }
        self.set_status(&mut response);
        response
    }

    /// The whole injected response for a gRPC call: trailers only.
    pub(crate) fn grpc_response(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        replace_headers(response.headers_mut(), &self.headers);
        response.headers_mut().insert(CONTENT_TYPE, grpc::CONTENT);
        self.grpc.write(response.headers_mut());
        response
    }

    /// Status, reason phrase and headers of the fault on a response of the application.
    pub(crate) fn mark<B>(&self, response: &mut Response<B>) {
        if response.status() == self.status {
            // What it says of caching was said of this status.
            replace_headers(response.headers_mut(), &self.given);
        } else {
            caching::forget(response.headers_mut(), self.status);
            replace_headers(response.headers_mut(), &self.headers);
        }
        response.extensions_mut().remove::<ReasonPhrase>();
        self.set_status(response);
    }

    /// Headers of the fault on a gRPC response of the application, whose call fails in its trailers.
    pub(crate) fn mark_grpc<B>(&self, response: &mut Response<B>) {
        caching::forget(response.headers_mut(), self.status);
        replace_headers(response.headers_mut(), &self.headers);
    }

    /// The failure in trailers, or in the headers of an answer that is trailers only.
    pub(crate) fn mark_trailers(&self, trailers: &mut HeaderMap) {
        self.grpc.write(trailers);
    }

    fn set_status<B>(&self, response: &mut Response<B>) {
        *response.status_mut() = self.status;
        if let Some(reason) = &self.reason {
            response.extensions_mut().insert(reason.clone());
        }
    }
}

/// Whether a request or response is gRPC.
pub(crate) fn is_grpc(version: Version, headers: &HeaderMap) -> bool {
    version == Version::HTTP_2 && grpc::is_grpc(headers)
}

/// Statuses whose responses have no content (RFC 9110 sections 15.3.5, 15.3.6, 15.4.5).
pub(crate) fn is_bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED)
}

fn given_headers(fault: &Fault, experiment_id: &ExperimentId) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for HeaderLine { name, value } in &fault.headers {
        headers.append(name, value.clone());
    }
    // An experiment id is a header value by construction.
    if fault.marker
        && let Ok(id) = HeaderValue::from_str(experiment_id.as_str())
    {
        headers.insert(MARKER, id);
    }
    headers
}

/// Headers of the fault take the place of all headers of the same name.
fn replace_headers(headers: &mut HeaderMap, with: &HeaderMap) {
    for name in with.keys() {
        headers.remove(name);
        for value in with.get_all(name) {
            headers.append(name, value.clone());
        }
    }
}

/// The answer to a client that prefers text, and to one that prefers JSON.
fn representations(status: StatusCode, fault: &Fault, id: &ExperimentId) -> [(HeaderValue, Bytes); 2] {
    let Replacement { body, content_type } = fault.replacement.clone().unwrap_or_default();
    // The contract has checked that this is a header value.
    let content_type = content_type.and_then(|kind| HeaderValue::from_str(&kind).ok());
    let (text, json) = match body {
        Some(body) => {
            // A body that was given is never rewritten, so it is JSON only if it was written as JSON.
            let is_json = serde_json::from_str::<serde_json::Value>(&body).is_ok();
            let json_type = if is_json { JSON } else { TEXT };
            let body = Bytes::from(body);
            ((TEXT, body.clone()), (json_type, body))
        }
        None => (
            (TEXT, chaos_text(status, fault.marker, id).into()),
            (JSON, chaos_json(status, fault.marker, id)),
        ),
    };
    match content_type {
        None => [text, json],
        Some(kind) if kind.to_str().is_ok_and(|kind| kind.contains("json")) => {
            [(kind.clone(), json.1.clone()), (kind, json.1)]
        }
        Some(kind) => [(kind.clone(), text.1.clone()), (kind, text.1)],
    }
}

fn chaos_text(status: StatusCode, marker: bool, id: &ExperimentId) -> String {
    let experiment = if marker { format!(", experiment {id}") } else { String::new() };
    let reason = status.canonical_reason().unwrap_or("Injected Fault");
    format!("{} {reason}: injected by httpfault{experiment}\n", status.as_u16())
}

fn chaos_json(status: StatusCode, marker: bool, id: &ExperimentId) -> Bytes {
    let reason = status.canonical_reason().unwrap_or("Injected Fault");
    let mut text = json!({
        "status": status.as_u16(),
        "error": reason,
        "message": "injected by httpfault",
    });
    if marker {
        text["experiment"] = json!(id.as_str());
    }
    Bytes::from(format!("{text}\n"))
}

/// Whether the client prefers JSON to plain text: by weight (RFC 9110 section 12.5.1), then by what it names first, which
/// is how common clients (`application/json, text/plain, */*`) mean it.
pub(crate) fn prefers_json(headers: &(impl Headers + ?Sized)) -> bool {
    let mut lines = headers.values(ACCEPT.as_str()).filter_map(|line| str::from_utf8(line).ok());
    let Some(first) = lines.next() else { return false };
    if first == "*/*" {
        return false;
    }
    // Several lines mean the same as one with commas (RFC 9110 section 5.3).
    let joined = lines.fold(first.to_owned(), |all, line| all + "," + line);
    let accept: Option<Accept> = joined.parse().ok();
    accept.is_some_and(|accept| accept.negotiate(&OFFERED) == Some(&OFFERED[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn json_preferred(accept: &[&str], expected: bool) {
        let mut headers = HeaderMap::new();
        for line in accept {
            headers.append(ACCEPT, HeaderValue::from_str(line).unwrap());
        }
        assert_eq!(prefers_json(&headers), expected, "{accept:?}");
    }

    #[test]
    fn accept_decides_between_text_and_json() {
        json_preferred(&[], false);
        json_preferred(&["*/*"], false);
        json_preferred(&["application/json"], true);
        json_preferred(&["application/json, text/plain, */*"], true);
        json_preferred(&["text/plain, application/json"], false);
        json_preferred(&["application/json, text/plain;q=0.9, */*"], true);
        json_preferred(&["text/plain;q=0.5, application/json;q=0.4"], false);
        json_preferred(&["application/*"], true);
        json_preferred(&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], false);
        json_preferred(&["text/plain;q=0.1", "application/json"], true);
        json_preferred(&["image/png"], false);
        json_preferred(&[";;;"], false);
    }
}
