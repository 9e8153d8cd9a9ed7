//! Where a program without keys finds some: a container credentials endpoint (as EKS Pod Identity and ECS have it) and
//! the instance metadata service, version 2. Both give out sessions of a role of the world.
//!
//! Shapes: AWS SDKs reference guide, "Container credential provider" and "IMDS credential provider".

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{header, plain, response};
use crate::identity::Key;
use crate::state::{Shared, State};
use crate::world::hex;

/// The token that the container credentials endpoint wants in `Authorization`.
pub(crate) const CONTAINER_TOKEN: &str = "simulator-container-token";
/// Path of the container credentials endpoint; the role's name follows.
pub(crate) const CONTAINER_PATH: &str = "/container-credentials/";

const METADATA: &str = "/latest/meta-data/";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
const TOKEN: &str = "/latest/api/token";

/// Answers requests to the credential endpoints; `None` for all others.
pub(super) fn answer(shared: &Shared, head: &Parts, _body: &Bytes) -> Option<Response<Full<Bytes>>> {
    let path = head.uri.path();
    if let Some(role) = path.strip_prefix(CONTAINER_PATH) {
        return Some(container(shared, head, role));
    }
    if path == TOKEN {
        return Some(token(shared, head));
    }
    path.starts_with(METADATA).then(|| metadata(shared, head, path))
}

fn container(shared: &Shared, head: &Parts, role: &str) -> Response<Full<Bytes>> {
    if header(head, "authorization") != CONTAINER_TOKEN {
        return json_response(
            StatusCode::UNAUTHORIZED,
            &json!({"code": "Unauthorized", "message": "wrong token"}),
        );
    }
    shared.update(|state| match issue(state, role, "eks-pod") {
        Some(key) => json_response(StatusCode::OK, &document(&key)),
        None => json_response(StatusCode::NOT_FOUND, &json!({"code": "NotFound", "message": "no such role"})),
    })
}

/// PUT /latest/api/token
fn token(shared: &Shared, head: &Parts) -> Response<Full<Bytes>> {
    let seconds = header(head, "x-aws-ec2-metadata-token-ttl-seconds").parse().ok();
    let (&Method::PUT, Some(seconds @ 1..=21600)) = (&head.method, seconds) else {
        return plain(StatusCode::BAD_REQUEST, "Bad Request");
    };
    let token = hex(40);
    let end = Instant::now() + Duration::from_secs(seconds);
    shared.update(|state| state.metadata_tokens.push((token.clone(), end)));
    let mut response = plain(StatusCode::OK, &token);
    response.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", seconds.into());
    response
}

fn metadata(shared: &Shared, head: &Parts, path: &str) -> Response<Full<Bytes>> {
    let token = header(head, "x-aws-ec2-metadata-token");
    shared.update(|state| {
        let now = Instant::now();
        if !state.metadata_tokens.iter().any(|(known, end)| known == token && *end > now) {
            return plain(StatusCode::UNAUTHORIZED, "Unauthorized");
        }
        if path == "/latest/meta-data/placement/region" {
            return plain(StatusCode::OK, &state.world.region);
        }
        let first_role = state.world.roles.first().map(|role| role.name.clone());
        match (path.strip_prefix(ROLES), first_role) {
            (Some(""), Some(role)) => plain(StatusCode::OK, &role),
            (Some(role), _) => match issue(state, role, "i-00000000000000000") {
                Some(key) => json_response(StatusCode::OK, &metadata_document(&key)),
                None => plain(StatusCode::NOT_FOUND, "Not Found"),
            },
            (None, _) => plain(StatusCode::NOT_FOUND, "Not Found"),
        }
    })
}

fn issue(state: &mut State, role: &str, session: &str) -> Option<Key> {
    let role = state.world.roles.iter().find(|known| known.name == role)?;
    let lifetime = SignedDuration::try_from(state.credential_lifetime).ok()?;
    Some(state.keys.issue(&state.world.account, role, session, lifetime))
}

fn document(key: &Key) -> Value {
    json!({
        "AccessKeyId": key.id,
        "SecretAccessKey": key.secret,
        "Token": key.token,
        "Expiration": key.expires.map(|expires| expires.to_string()),
    })
}

fn metadata_document(key: &Key) -> Value {
    let mut document = document(key);
    document["Code"] = json!("Success");
    document["Type"] = json!("AWS-HMAC");
    document["LastUpdated"] = json!(jiff::Timestamp::now().to_string());
    document
}

fn json_response(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    response(status, "application/json", Bytes::from(value.to_string()))
}
