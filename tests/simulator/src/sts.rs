//! STS: the query protocol, with XML answers.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::http::{ApiError, Context, read};
use crate::identity::{Key, Role};

/// XML namespace of all its documents.
pub(crate) const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The query protocol sends every member as text.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRole {
    role_arn: String,
    role_session_name: String,
    duration_seconds: Option<String>,
    external_id: Option<String>,
    web_identity_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<T> {
    #[serde(rename = "@xmlns")]
    xmlns: &'static str,
    #[serde(flatten)]
    result: T,
    response_metadata: Metadata,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    request_id: String,
}

#[derive(Serialize)]
enum Outcome {
    #[serde(rename = "GetCallerIdentityResult", rename_all = "PascalCase")]
    Identity { arn: String, user_id: String, account: String },
    #[serde(rename = "AssumeRoleResult", rename_all = "PascalCase")]
    Role { credentials: Credentials, assumed_role_user: AssumedRoleUser },
    #[serde(rename = "AssumeRoleWithWebIdentityResult", rename_all = "PascalCase")]
    WebIdentity {
        subject_from_web_identity_token: String,
        credentials: Credentials,
        assumed_role_user: AssumedRoleUser,
        provider: String,
        audience: String,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AssumedRoleUser {
    assumed_role_id: String,
    arn: String,
}

/// Carries out one action.
pub(crate) fn dispatch(context: &mut Context<'_>, action: &str, request: Value) -> Result<String, ApiError> {
    match action {
        "GetCallerIdentity" => caller_identity(context),
        "AssumeRole" => assume_role(context, read(request)?),
        "AssumeRoleWithWebIdentity" => web_identity(context, read(request)?),
        _ => Err(ApiError::new("InvalidAction", format!("the simulator does not model sts:{action}"))),
    }
}

/// Needs no permission.
fn caller_identity(context: &Context<'_>) -> Result<String, ApiError> {
    let principal = context.principal.ok_or_else(ApiError::internal)?;
    let identity = Outcome::Identity {
        arn: principal.arn.clone(),
        user_id: principal.user_id.clone(),
        account: context.state.world.account.clone(),
    };
    answer("GetCallerIdentityResponse", identity)
}

fn assume_role(context: &mut Context<'_>, request: AssumeRole) -> Result<String, ApiError> {
    check(&request)?;
    context.authorize(std::slice::from_ref(&request.role_arn), None)?;
    let role = role(context, &request.role_arn).filter(|role| role.external_id == request.external_id);
    let Some(role) = role else {
        let who = context.principal.map(|principal| principal.arn.as_str()).unwrap_or_default();
        let message = format!(
            "User: {who} is not authorized to perform: sts:AssumeRole on resource: {}",
            request.role_arn
        );
        return Err(ApiError::forbidden("AccessDenied", message));
    };
    let key = issue(context, &role, &request)?;
    let result = Outcome::Role { credentials: credentials(&key), assumed_role_user: assumed(&key) };
    answer("AssumeRoleResponse", result)
}

/// Not signed: the token is the proof.
fn web_identity(context: &mut Context<'_>, request: AssumeRole) -> Result<String, ApiError> {
    check(&request)?;
    let token = request.web_identity_token.clone().unwrap_or_default();
    let role = role(context, &request.role_arn);
    let Some(role) = role.filter(|role| role.web_identity_tokens.contains(&token)) else {
        let message = "Not authorized to perform sts:AssumeRoleWithWebIdentity";
        return Err(ApiError::forbidden("AccessDenied", message));
    };
    let key = issue(context, &role, &request)?;
    let result = Outcome::WebIdentity {
        subject_from_web_identity_token: "system:serviceaccount:chaos:httpfault".to_owned(),
        credentials: credentials(&key),
        assumed_role_user: assumed(&key),
        provider: "https://oidc.simulator.example".to_owned(),
        audience: "sts.amazonaws.com".to_owned(),
    };
    answer("AssumeRoleWithWebIdentityResponse", result)
}

fn check(request: &AssumeRole) -> Result<(), ApiError> {
    let name = &request.role_session_name;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    if !(2..=64).contains(&name.len()) || !name.bytes().all(allowed) {
        let message = format!(
            "1 validation error detected: Value '{name}' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*"
        );
        return Err(ApiError::new("ValidationError", message));
    }
    Ok(())
}

fn role(context: &Context<'_>, arn: &str) -> Option<Role> {
    let world = &context.state.world;
    world.roles.iter().find(|role| world.role_arn(&role.name) == arn).cloned()
}

fn issue(context: &mut Context<'_>, role: &Role, request: &AssumeRole) -> Result<Key, ApiError> {
    let seconds = match &request.duration_seconds {
        None => 3600,
        Some(text) => text.parse().unwrap_or(0),
    };
    if !(900..=43_200).contains(&seconds) || seconds > role.max_session_seconds {
        let message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
        return Err(ApiError::new("ValidationError", message));
    }
    let lifetime = SignedDuration::from_secs(i64::from(seconds));
    let account = context.state.world.account.clone();
    Ok(context.state.keys.issue(&account, role, &request.role_session_name, lifetime))
}

fn credentials(key: &Key) -> Credentials {
    Credentials {
        access_key_id: key.id.clone(),
        secret_access_key: key.secret.clone(),
        session_token: key.token.clone().unwrap_or_default(),
        expiration: key
            .expires
            .map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
            .unwrap_or_default(),
    }
}

fn assumed(key: &Key) -> AssumedRoleUser {
    AssumedRoleUser { assumed_role_id: key.principal.user_id.clone(), arn: key.principal.arn.clone() }
}

fn answer(root: &str, result: Outcome) -> Result<String, ApiError> {
    let metadata = Metadata { request_id: uuid::Uuid::new_v4().to_string() };
    let answer = Answer { xmlns: NAMESPACE, result, response_metadata: metadata };
    let unwritable =
        |problem: quick_xml::SeError| ApiError { message: problem.to_string(), ..ApiError::internal() };
    quick_xml::se::to_string_with_root(root, &answer).map_err(unwritable)
}
