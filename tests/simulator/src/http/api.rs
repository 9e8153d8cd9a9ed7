//! One API call, from its arrival to its answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::http::request::Parts;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::reply::{self, Reply};
use super::{ApiError, Dropped, cbor, header};
use crate::call::{Call, Outcome};
use crate::faults::AfterCall;
use crate::identity::{Decision, Principal, SignatureProblem, Signed};
use crate::state::{Shared, State};
use crate::{cloudwatch, ecr, ecs, ssm, sts};

/// What a handler works with.
pub(crate) struct Context<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) state: &'a mut State,
    /// Absent only for the one action that is not signed, AssumeRoleWithWebIdentity.
    pub(crate) principal: Option<&'a Principal>,
    service: &'static str,
    action: &'a str,
}

pub(super) async fn answer(
    shared: &Arc<Shared>,
    head: &Parts,
    body: &Bytes,
) -> Result<Response<Full<Bytes>>, Dropped> {
    let Some((service, action, request)) = name(head, body) else {
        let error = ApiError::new("UnknownOperationException", "the simulator does not know this operation");
        return Ok(reply::failure("json", &error));
    };
    let number = record(shared, head, service, &action, &request);
    tokio::time::sleep(shared.read(|state| state.faults.latency(&action))).await;

    let result = match request {
        Ok(request) => perform(shared, head, body, (service, &action, number), request),
        Err(error) => Err(error),
    };

    let after = if result.is_ok() { shared.update(|state| state.faults.take_after(&action)) } else { None };
    let (outcome, response) = match (after, result) {
        (Some(AfterCall::DropConnection), _) => (Outcome::Dropped, Err(Dropped)),
        (Some(AfterCall::InternalServerError), _) => failed(service, &ApiError::internal()),
        (Some(AfterCall::ServerError(code)), _) => {
            failed(service, &ApiError { code, ..ApiError::internal() })
        }
        (Some(AfterCall::AnswerLate(by)), Ok(reply)) => {
            tokio::time::sleep(by).await;
            (Outcome::Success, Ok(reply::success(reply)))
        }
        (_, Ok(reply)) => (Outcome::Success, Ok(reply::success(reply))),
        (_, Err(error)) => failed(service, &error),
    };
    shared.update(|state| state.calls[number].outcome = Some(outcome));
    response
}

type Answer = (Outcome, Result<Response<Full<Bytes>>, Dropped>);

fn failed(service: &str, error: &ApiError) -> Answer {
    let outcome = Outcome::Error { status: error.status.as_u16(), code: error.code.to_owned() };
    (outcome, Ok(reply::failure(service, error)))
}

type Named = (&'static str, String, Result<Value, ApiError>);

/// Service, action and members of a request.
fn name(head: &Parts, body: &Bytes) -> Option<Named> {
    if let Some((prefix, action)) = header(head, "x-amz-target").split_once('.') {
        let service = match prefix {
            "AmazonEC2ContainerServiceV20141113" => "ecs",
            "AmazonSSM" => "ssm",
            "AmazonEC2ContainerRegistry_V20150921" => "ecr",
            _ => return None,
        };
        let request = serde_json::from_slice(body)
            .map_err(|problem| ApiError::new("SerializationException", problem.to_string()));
        return Some((service, action.to_owned(), request));
    }
    if let Some((service, action)) = cbor::operation(head) {
        let service = (service == "GraniteServiceVersion20100801").then_some("cloudwatch")?;
        return Some((service, action.to_owned(), cbor::request(body)));
    }
    let fields: BTreeMap<String, String> = serde_urlencoded::from_bytes(body).ok()?;
    let action = fields.get("Action")?.clone();
    let request = serde_json::to_value(fields).ok()?;
    Some(("sts", action, Ok(request)))
}

/// Returns the call's place in the journal.
fn record(
    shared: &Shared,
    head: &Parts,
    service: &'static str,
    action: &str,
    request: &Result<Value, ApiError>,
) -> usize {
    let call = Call {
        service,
        action: action.to_owned(),
        principal: None,
        at: Instant::now(),
        time: Timestamp::now(),
        request: request.as_ref().cloned().unwrap_or(Value::Null),
        user_agent: header(head, "user-agent").to_owned(),
        outcome: None,
    };
    shared.update(|state| {
        state.calls.push(call);
        state.calls.len() - 1
    })
}

/// Authenticates, throttles, and carries the call out, all under one lock.
fn perform(
    shared: &Arc<Shared>,
    head: &Parts,
    body: &Bytes,
    (service, action, number): (&'static str, &str, usize),
    request: Value,
) -> Result<Reply, ApiError> {
    shared.update(|state| {
        let principal = match (service, action) {
            ("sts", "AssumeRoleWithWebIdentity") => None,
            _ => Some(authenticate(state, head, body, service)?),
        };
        state.calls[number].principal = principal.as_ref().map(|principal| principal.arn.clone());
        if !state.faults.admit(action, Instant::now()) {
            let code = if service == "sts" { "Throttling" } else { "ThrottlingException" };
            return Err(ApiError::new(code, "Rate exceeded"));
        }
        if state.faults.take_failure(action) {
            return Err(ApiError::internal());
        }
        let mut context = Context { shared, state, principal: principal.as_ref(), service, action };
        match service {
            "ecs" => ecs::dispatch(&mut context, action, request).map(Reply::Json),
            "ssm" => ssm::dispatch(&mut context, action, request).map(Reply::Json),
            "cloudwatch" => cloudwatch::dispatch(&mut context, action, request).map(Reply::Cbor),
            "ecr" => ecr::dispatch(&mut context, action).map(Reply::Json),
            _ => sts::dispatch(&mut context, action, request).map(Reply::Xml),
        }
    })
}

/// Error codes differ between the protocols; messages are AWS's.
fn authenticate(state: &State, head: &Parts, body: &Bytes, service: &str) -> Result<Principal, ApiError> {
    let sts = service == "sts";
    let refuse = |json: &'static str, query: &'static str, message: String| {
        if sts { ApiError::forbidden(query, message) } else { ApiError::new(json, message) }
    };
    let signature = |problem: SignatureProblem| match &problem {
        SignatureProblem::Missing => {
            refuse("MissingAuthenticationTokenException", "MissingAuthenticationToken", problem.to_string())
        }
        SignatureProblem::Malformed(_) => {
            refuse("IncompleteSignatureException", "IncompleteSignature", problem.to_string())
        }
        SignatureProblem::Skewed | SignatureProblem::Mismatch => {
            refuse("InvalidSignatureException", "SignatureDoesNotMatch", problem.to_string())
        }
    };
    let signed = Signed::read(&head.headers).map_err(signature)?;
    // CloudWatch signs by the name that it had first.
    let service = if service == "cloudwatch" { "monitoring" } else { service };
    if signed.region != state.world.region || signed.service != service {
        let scope = format!(
            "Credential should be scoped to a valid region and service: '{}/{}' is not '{}/{service}'",
            signed.region, signed.service, state.world.region
        );
        return Err(refuse("InvalidSignatureException", "SignatureDoesNotMatch", scope));
    }
    let unknown = || {
        let message = "The security token included in the request is invalid.".to_owned();
        refuse("UnrecognizedClientException", "InvalidClientTokenId", message)
    };
    let key = state.keys.get(&signed.access_key_id).ok_or_else(unknown)?;
    let token = head.headers.get("x-amz-security-token").and_then(|value| value.to_str().ok());
    if key.token.as_deref() != token {
        return Err(unknown());
    }
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    signed.verify(key, head.method.as_str(), path, &head.headers, body).map_err(signature)?;
    if key.expired() {
        let message = "The security token included in the request is expired".to_owned();
        return Err(refuse("ExpiredTokenException", "ExpiredToken", message));
    }
    Ok(key.principal.clone())
}

impl Context<'_> {
    /// Whether the caller may do this to each of these resources. `cluster` is the ARN for the condition key
    /// `ecs:cluster`.
    pub(crate) fn authorize(&self, resources: &[String], cluster: Option<&str>) -> Result<(), ApiError> {
        let Some(principal) = self.principal else { return Ok(()) };
        let action = format!("{}:{}", self.service, self.action);
        let region = self.state.world.region.clone();
        let mut shared = BTreeMap::from([("aws:RequestedRegion".to_owned(), region)]);
        if let Some(cluster) = cluster {
            shared.insert("ecs:cluster".to_owned(), cluster.to_owned());
        }
        for resource in resources {
            let mut context = shared.clone();
            context.extend(self.resource_tags(resource));
            let decision = match self.state.faults.denies(self.action) {
                true => Decision::NotAllowed,
                false => principal.policy.decide(&action, resource, &context),
            };
            let why = match decision {
                Decision::Allowed => continue,
                Decision::NotAllowed => {
                    format!("because no identity-based policy allows the {action} action")
                }
                Decision::Denied => "with an explicit deny in an identity-based policy".to_owned(),
            };
            let who = &principal.arn;
            let message =
                format!("User: {who} is not authorized to perform: {action} on resource: {resource} {why}");
            return Err(match self.service {
                "sts" => ApiError::forbidden("AccessDenied", message),
                _ => ApiError::new("AccessDeniedException", message),
            });
        }
        Ok(())
    }

    /// What conditions of Systems Manager's actions can ask of an instance.
    fn resource_tags(&self, resource: &str) -> Vec<(String, String)> {
        let id = resource.rsplit('/').next().unwrap_or_default();
        let Some(instance) = self.state.world.managed_instance(id) else { return Vec::new() };
        let keys = instance.tags.iter().flat_map(|(key, value)| {
            ["ssm:resourceTag", "aws:ResourceTag"].map(|prefix| (format!("{prefix}/{key}"), value.clone()))
        });
        keys.collect()
    }

    /// The resource of actions that can't be narrowed to one.
    pub(crate) fn any_resource(&self) -> String {
        let world = &self.state.world;
        format!("arn:aws:{}:{}:{}:*", self.service, world.region, world.account)
    }
}

/// The members of a request.
pub(crate) fn read<T: DeserializeOwned>(request: Value) -> Result<T, ApiError> {
    serde_json::from_value(request)
        .map_err(|problem| ApiError::new("SerializationException", problem.to_string()))
}

/// One page of a list and the token of the next. Tokens are opaque to clients and hold the offset.
pub(crate) fn page<T>(
    all: Vec<T>,
    size: usize,
    token: Option<&str>,
    invalid: impl Fn() -> ApiError,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let offset = match token {
        None => 0,
        Some(token) => offset(token).filter(|offset| *offset <= all.len()).ok_or_else(invalid)?,
    };
    let next = (offset + size < all.len()).then(|| STANDARD.encode(format!("page-{}", offset + size)));
    Ok((all.into_iter().skip(offset).take(size).collect(), next))
}

fn offset(token: &str) -> Option<usize> {
    let text = String::from_utf8(STANDARD.decode(token).ok()?).ok()?;
    text.strip_prefix("page-")?.parse().ok()
}

/// SSM's error for a token that it did not give out.
pub(crate) fn invalid_token() -> ApiError {
    ApiError::new("InvalidNextToken", "The specified token is not valid.")
}
