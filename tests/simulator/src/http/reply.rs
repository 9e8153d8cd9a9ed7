//! Answers on the wire: JSON 1.1 for ECS and SSM, CBOR for CloudWatch, XML for STS.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::{ApiError, cbor, response};

const JSON: &str = "application/x-amz-json-1.1";
const XML: &str = "text/xml";

/// What a handler answers.
#[derive(Debug)]
pub(crate) enum Reply {
    Json(Value),
    Cbor(Value),
    Xml(String),
}

/// The error document of the query protocol.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    error: XmlError<'a>,
    request_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct XmlError<'a> {
    #[serde(rename = "Type")]
    kind: &'static str,
    code: &'a str,
    message: &'a str,
}

pub(super) fn success(reply: Reply) -> Response<Full<Bytes>> {
    match reply {
        Reply::Json(value) => response(StatusCode::OK, JSON, Bytes::from(value.to_string())),
        Reply::Cbor(value) => cbor::answer(StatusCode::OK, value),
        Reply::Xml(text) => response(StatusCode::OK, XML, Bytes::from(text)),
    }
}

pub(super) fn failure(service: &str, error: &ApiError) -> Response<Full<Bytes>> {
    if service == "sts" {
        return xml_failure(error);
    }
    let body = json!({ "__type": error.code, "message": error.message });
    if service == "cloudwatch" {
        return cbor::answer(error.status, body);
    }
    response(error.status, JSON, Bytes::from(body.to_string()))
}

fn xml_failure(error: &ApiError) -> Response<Full<Bytes>> {
    let document = ErrorResponse {
        xmlns: crate::sts::NAMESPACE,
        error: XmlError {
            kind: if error.status.is_server_error() { "Receiver" } else { "Sender" },
            code: error.code,
            message: &error.message,
        },
        request_id: uuid::Uuid::new_v4().to_string(),
    };
    match quick_xml::se::to_string(&document) {
        Ok(text) => response(error.status, XML, Bytes::from(text)),
        Err(problem) => super::plain(StatusCode::INTERNAL_SERVER_ERROR, &problem.to_string()),
    }
}
