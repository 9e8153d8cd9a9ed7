//! The calls of Amazon S3 that are modelled: GetObject and PutObject, path style, signed in headers or presigned in the
//! query.
//!
//! Source: S3 API reference, "Authenticating Requests (AWS Signature Version 4)" and "Error responses".

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::call::{Call, Outcome};
use crate::http::response;
use crate::identity::{Decision, SignatureProblem, Signed};
use crate::state::{Shared, State};

/// An object in a bucket.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// Name of the bucket.
    pub bucket: String,
    /// The rest of the path.
    pub key: String,
    /// A file on this machine with the content.
    pub file: std::path::PathBuf,
}

/// Answers requests that are signed for S3; `None` for all others.
pub(crate) fn answer(shared: &Shared, head: &Parts, body: &Bytes) -> Option<Response<Full<Bytes>>> {
    let signed = match Signed::presigned(&head.uri) {
        Some(signed) => signed,
        None => Signed::read(&head.headers),
    };
    let action = match head.method {
        Method::GET => "GetObject",
        Method::PUT => "PutObject",
        _ => return None,
    };
    if !signed.as_ref().is_ok_and(|signed| signed.service == "s3") {
        return None;
    }
    Some(shared.update(|state| {
        let result = signed.map_err(refused).and_then(|signed| {
            let path = allowed(state, head, &signed, &format!("s3:{action}"))?;
            if action == "PutObject" { put(state, path, body) } else { get(state, &path) }
        });
        let (outcome, response) = match result {
            Ok(bytes) => (Outcome::Success, response(StatusCode::OK, "binary/octet-stream", bytes)),
            Err((status, code, message)) => {
                let outcome = Outcome::Error { status: status.as_u16(), code: code.to_owned() };
                let xml = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
                (outcome, response(status, "application/xml", Bytes::from(xml)))
            }
        };
        state.calls.push(Call {
            service: "s3",
            action: action.to_owned(),
            principal: None,
            at: Instant::now(),
            time: Timestamp::now(),
            request: json!({ "Uri": head.uri.to_string() }),
            user_agent: String::new(),
            outcome: Some(outcome),
        });
        response
    }))
}

type Refused = (StatusCode, &'static str, String);

fn refused(problem: SignatureProblem) -> Refused {
    (StatusCode::FORBIDDEN, "SignatureDoesNotMatch", problem.to_string())
}

/// Bucket and key of a request that its caller may make.
fn allowed(state: &State, head: &Parts, signed: &Signed, action: &str) -> Result<String, Refused> {
    let forbidden = |message: &str| (StatusCode::FORBIDDEN, "AccessDenied", message.to_owned());
    let key = state.keys.get(&signed.access_key_id).filter(|key| !key.expired());
    let Some(key) = key else {
        let message = "The AWS Access Key Id you provided does not exist in our records.".to_owned();
        return Err((StatusCode::FORBIDDEN, "InvalidAccessKeyId", message));
    };
    if signed.region != state.world.region {
        let message = format!("the region '{}' is wrong; expecting '{}'", signed.region, state.world.region);
        return Err((StatusCode::BAD_REQUEST, "AuthorizationHeaderMalformed", message));
    }
    signed.verify_object(key, head.method.as_str(), &head.uri, &head.headers).map_err(refused)?;
    let path = percent_decode_str(head.uri.path().trim_start_matches('/')).decode_utf8_lossy().into_owned();
    let resource = format!("arn:aws:s3:::{path}");
    if key.principal.policy.decide(action, &resource, &BTreeMap::new()) != Decision::Allowed {
        return Err(forbidden("Access Denied"));
    }
    Ok(path)
}

fn put(state: &mut State, path: String, body: &Bytes) -> Result<Bytes, Refused> {
    let bucket = path.split('/').next().unwrap_or_default();
    if !state.world.buckets.iter().any(|known| known == bucket) {
        let message = "The specified bucket does not exist".to_owned();
        return Err((StatusCode::NOT_FOUND, "NoSuchBucket", message));
    }
    state.stored.insert(path, body.clone());
    Ok(Bytes::new())
}

fn get(state: &State, path: &str) -> Result<Bytes, Refused> {
    let object =
        state.world.objects.iter().find(|object| format!("{}/{}", object.bucket, object.key) == path);
    let missing = || (StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.".to_owned());
    std::fs::read(&object.ok_or_else(missing)?.file).map(Bytes::from).map_err(|_gone| missing())
}
