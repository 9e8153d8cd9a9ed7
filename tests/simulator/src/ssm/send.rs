//! SendCommand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use jiff::Timestamp;
use regex_lite::Regex;
use serde::Deserialize;
use serde_json::{Value, json};

use super::command::{Command, Invocation};
use super::documents::{Document, Expanded};
use super::{deliver, document, shapes};
use crate::faults::Fate;
use crate::http::{ApiError, Context, read};
use crate::world::Platform;

static INSTANCE_ID: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(^i-(\w{8}|\w{17})$)|(^mi-\w{17}$)").ok());
static CONCURRENCY: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new("^([1-9][0-9]*|[1-9][0-9]%|[1-9]%|100%)$").ok());
static ERRORS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new("^([1-9][0-9]*|[0]|[1-9][0-9]%|[0-9]%|100%)$").ok());
static DOCUMENT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[a-zA-Z0-9_\-.:/]{3,128}$").ok());

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    document_name: String,
    #[serde(default)]
    document_version: Option<String>,
    #[serde(default)]
    instance_ids: Vec<String>,
    #[serde(default)]
    targets: Vec<Target>,
    #[serde(default)]
    parameters: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    comment: String,
    #[serde(default = "one_hour")]
    timeout_seconds: u32,
    #[serde(default = "fifty")]
    max_concurrency: String,
    #[serde(default = "zero")]
    max_errors: String,
}

#[derive(Deserialize, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
struct Target {
    key: String,
    values: Vec<String>,
}

/// Accepts a command and starts its delivery.
pub(super) fn send(context: &mut Context<'_>, request: Value) -> Result<Value, ApiError> {
    let request: Request = read(request)?;
    check_model(&request)?;
    let instances = targets(&request)?;
    context.authorize(&resources(context, &request.document_name, &instances), None)?;

    let own = context.state.world.documents.iter().find(|own| own.name == request.document_name);
    let platform = match own {
        Some(_) => Platform::Linux,
        None => document::platform(&request.document_name)?,
    };
    if request
        .document_version
        .as_deref()
        .is_some_and(|version| !["1", "$DEFAULT", "$LATEST"].contains(&version))
    {
        return Err(ApiError::new(
            "InvalidDocumentVersion",
            "The document version is not valid or does not exist.",
        ));
    }
    let expanded = expand(context, own, &request)?;
    let world = &context.state.world;
    let known = |id: &str| world.managed_instances.iter().find(|instance| instance.id == id);
    let valid = |id: &str| known(id).is_some_and(|instance| !instance.terminated);
    let bad: Vec<&str> = instances.iter().map(String::as_str).filter(|id| !valid(id)).collect();
    if !bad.is_empty() {
        let which = match context.state.faults.names_instances() {
            true => format!("Instances [[{}]]", bad.join(", ")),
            false => "Instances".to_owned(),
        };
        let message = format!("{which} not in a valid state for account {}", world.account);
        return Err(ApiError::new("InvalidInstanceId", message));
    }
    if instances.iter().filter_map(|id| known(id)).any(|instance| instance.platform != platform) {
        let message =
            format!("Document {} is not supported on the platform of an instance", request.document_name);
        return Err(ApiError::new("UnsupportedPlatformType", message));
    }

    let fate = context.state.faults.take_fate();
    let invocations = match fate {
        Fate::RateExceeded => Vec::new(),
        Fate::Delivered | Fate::Lost | Fate::Doubled => {
            instances.iter().map(|id| Invocation::new(id)).collect()
        }
    };
    let command = Command {
        id: uuid::Uuid::new_v4().to_string(),
        document: request.document_name.rsplit('/').next().unwrap_or_default().to_owned(),
        script: expanded.script,
        execution_timeout: expanded.execution_timeout,
        comment: request.comment,
        parameters: request.parameters,
        instance_ids: request.instance_ids,
        targets: json!(request.targets),
        timeout_seconds: request.timeout_seconds,
        max_concurrency: request.max_concurrency,
        max_errors: request.max_errors,
        requested: Timestamp::now(),
        requested_at: Instant::now(),
        fate,
        lookups: 0,
        invocations,
    };
    let answer = json!({ "Command": shapes::command(&command) });
    deliver::start(Arc::clone(context.shared), &command);
    context.state.commands.push(command);
    Ok(answer)
}

/// The script that a command is, of a document of the account's own or of AWS-RunShellScript.
fn expand(context: &Context<'_>, own: Option<&Document>, request: &Request) -> Result<Expanded, ApiError> {
    let limit = context.state.faults.document_bytes();
    if let Some(own) = own {
        return own.expand(&request.parameters, limit.unwrap_or(document::MAX_DOCUMENT));
    }
    document::check(&request.parameters, limit)?;
    let first = |name: &str| request.parameters.get(name).and_then(|values| values.first().cloned());
    let lines = request.parameters.get("commands").map(|lines| lines.join("\n"));
    Ok(Expanded { script: lines.unwrap_or_default(), execution_timeout: first("executionTimeout") })
}

/// The constraints of the API model, which the front end checks before anything else.
fn check_model(request: &Request) -> Result<(), ApiError> {
    let pattern = |member: &str, value: &str, pattern: &LazyLock<Option<Regex>>| {
        let Some(pattern) = pattern.as_ref() else { return Ok(()) };
        let constraint = format!("Member must satisfy regular expression pattern: {pattern}");
        if pattern.is_match(value) { Ok(()) } else { Err(ApiError::constraint(member, value, &constraint)) }
    };
    let at_most = |member: &str, length: usize, limit: usize| {
        let constraint = format!("Member must have length less than or equal to {limit}");
        if length <= limit {
            Ok(())
        } else {
            Err(ApiError::constraint(member, &format!("[{length}]"), &constraint))
        }
    };
    at_most("instanceIds", request.instance_ids.len(), 50)?;
    at_most("targets", request.targets.len(), 5)?;
    at_most("comment", request.comment.chars().count(), 100)?;
    for id in &request.instance_ids {
        pattern("instanceIds", id, &INSTANCE_ID)?;
    }
    pattern("documentName", &request.document_name, &DOCUMENT)?;
    pattern("maxConcurrency", &request.max_concurrency, &CONCURRENCY)?;
    pattern("maxErrors", &request.max_errors, &ERRORS)?;
    at_most("maxConcurrency", request.max_concurrency.len(), 7)?;
    at_most("maxErrors", request.max_errors.len(), 7)?;
    if !(30..=2_592_000).contains(&request.timeout_seconds) {
        let value = request.timeout_seconds.to_string();
        return Err(ApiError::constraint("timeoutSeconds", &value, "Member must be between 30 and 2592000"));
    }
    Ok(())
}

/// The instances, from InstanceIds or from a target `InstanceIds`.
fn targets(request: &Request) -> Result<Vec<String>, ApiError> {
    let mut instances = request.instance_ids.clone();
    for target in &request.targets {
        if target.key != "InstanceIds" {
            let message = format!("the simulator models only the target key InstanceIds, not {}", target.key);
            return Err(ApiError::new("ValidationException", message));
        }
        instances.extend(target.values.iter().cloned());
    }
    if instances.is_empty() {
        return Err(ApiError::new("InvalidParameters", "InstanceIds or Targets must name an instance"));
    }
    let unique: BTreeSet<&String> = instances.iter().collect();
    if unique.len() != instances.len() {
        return Err(ApiError::new(
            "DuplicateInstanceId",
            "You can't specify an instance ID more than once in a command.",
        ));
    }
    Ok(instances)
}

/// What `ssm:SendCommand` must be allowed on: the document (owned by AWS, so without an account) and each instance.
fn resources(context: &Context<'_>, document: &str, instances: &[String]) -> Vec<String> {
    let world = &context.state.world;
    let (region, account) = (&world.region, &world.account);
    let document = document.rsplit('/').next().unwrap_or(document);
    let owner = if document.starts_with("AWS-") { "" } else { account };
    let instance = |id: &String| match id.starts_with("mi-") {
        true => format!("arn:aws:ssm:{region}:{account}:managed-instance/{id}"),
        false => format!("arn:aws:ec2:{region}:{account}:instance/{id}"),
    };
    let document = format!("arn:aws:ssm:{region}:{owner}:document/{document}");
    instances.iter().map(instance).chain([document]).collect()
}

fn one_hour() -> u32 {
    3600
}

fn fifty() -> String {
    "50".to_owned()
}

fn zero() -> String {
    "0".to_owned()
}
