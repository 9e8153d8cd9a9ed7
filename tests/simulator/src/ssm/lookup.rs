//! GetCommandInvocation, ListCommandInvocations and ListCommands.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::command::{Command, Invocation, Status};
use super::shapes;
use crate::http::{ApiError, Context, invalid_token, page, read};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetRequest {
    command_id: String,
    instance_id: String,
    plugin_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListRequest {
    command_id: Option<String>,
    instance_id: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    #[serde(default)]
    details: bool,
}

/// A CommandFilter; unlike its siblings its members are lower case in the API.
#[derive(Deserialize)]
struct Filter {
    key: String,
    value: String,
}

pub(super) fn get_invocation(context: &mut Context<'_>, request: Value) -> Result<Value, ApiError> {
    let request: GetRequest = read(request)?;
    context.authorize(&[context.any_resource()], None)?;
    check_id(&request.command_id)?;
    let absent = || ApiError::new("InvocationDoesNotExist", "");
    let timing = context.shared.timing;
    let command = context.state.command_mut(&request.command_id).ok_or_else(absent)?;
    if !visible(command, timing) {
        return Err(absent());
    }
    let instance = &request.instance_id;
    let invocation =
        command.invocations.iter().find(|one| one.instance_id == *instance).ok_or_else(absent)?;
    if request
        .plugin_name
        .as_deref()
        .is_some_and(|name| !["aws:runShellScript", "aws:RunShellScript"].contains(&name))
    {
        return Err(ApiError::new("InvalidPluginName", "The plugin name isn't valid."));
    }
    Ok(shapes::invocation_result(command, invocation))
}

/// Newest first; a command that does not exist (yet) is an empty list.
pub(super) fn list_invocations(context: &mut Context<'_>, request: Value) -> Result<Value, ApiError> {
    let request = list_request(context, request)?;
    let timing = context.shared.timing;
    let mut found = Vec::new();
    for command in context.state.commands.iter_mut().rev() {
        if !request.wants(command) || !visible(command, timing) {
            continue;
        }
        let invocations = command.invocations.iter().filter(|one| request.wants_invocation(one));
        found.extend(invocations.map(|one| shapes::invocation(command, one, request.details)));
    }
    let (found, next) = page(found, request.size(), request.next_token.as_deref(), invalid_token)?;
    let mut answer = json!({ "CommandInvocations": found });
    if let Some(next) = next {
        answer["NextToken"] = json!(next);
    }
    Ok(answer)
}

pub(super) fn list_commands(context: &mut Context<'_>, request: Value) -> Result<Value, ApiError> {
    let request = list_request(context, request)?;
    let timing = context.shared.timing;
    let mut found = Vec::new();
    for command in context.state.commands.iter_mut().rev() {
        let status = command.status().0;
        let instance = request.instance_id.as_deref();
        let on_instance =
            instance.is_none_or(|id| command.invocations.iter().any(|one| one.instance_id == id));
        if request.wants(command) && request.wants_status(status) && on_instance && visible(command, timing) {
            found.push(shapes::command(command));
        }
    }
    let (found, next) = page(found, request.size(), request.next_token.as_deref(), invalid_token)?;
    let mut answer = json!({ "Commands": found });
    if let Some(next) = next {
        answer["NextToken"] = json!(next);
    }
    Ok(answer)
}

fn list_request(context: &Context<'_>, request: Value) -> Result<ListRequest, ApiError> {
    let request: ListRequest = read(request)?;
    context.authorize(&[context.any_resource()], None)?;
    if let Some(id) = &request.command_id {
        check_id(id)?;
    }
    if let Some(size) = request.max_results.filter(|size| !(1..=50).contains(size)) {
        return Err(ApiError::constraint("maxResults", &size.to_string(), "Member must be between 1 and 50"));
    }
    for filter in &request.filters {
        match filter.key.as_str() {
            "Status" | "DocumentName" => {}
            "InvokedAfter" | "InvokedBefore" if filter.value.parse::<Timestamp>().is_ok() => {}
            _ => return Err(ApiError::new("InvalidFilterKey", "The specified key isn't valid.")),
        }
    }
    Ok(request)
}

fn check_id(id: &str) -> Result<(), ApiError> {
    match id.len() {
        36 => Ok(()),
        _ => Err(ApiError::constraint("commandId", id, "Member must have length equal to 36")),
    }
}

/// A command can be looked up only some time after SendCommand has answered.
fn visible(command: &mut Command, timing: super::Timing) -> bool {
    if command.requested_at.elapsed() < timing.invisible {
        return false;
    }
    let seen = command.lookups >= timing.invisible_lookups;
    command.lookups = command.lookups.saturating_add(1);
    seen
}

impl ListRequest {
    fn size(&self) -> usize {
        self.max_results.unwrap_or(50)
    }

    fn wants(&self, command: &Command) -> bool {
        let by_id = self.command_id.as_ref().is_none_or(|id| *id == command.id);
        by_id
            && self.filters.iter().all(|filter| {
                match (filter.key.as_str(), filter.value.parse::<Timestamp>()) {
                    ("DocumentName", _) => filter.value == command.document,
                    ("InvokedAfter", Ok(time)) => command.requested > time,
                    ("InvokedBefore", Ok(time)) => command.requested < time,
                    _ => true,
                }
            })
    }

    fn wants_invocation(&self, invocation: &Invocation) -> bool {
        self.instance_id.as_ref().is_none_or(|id| *id == invocation.instance_id)
            && self.wants_status(invocation.status)
    }

    fn wants_status(&self, status: Status) -> bool {
        let mut wanted = self.filters.iter().filter(|filter| filter.key == "Status");
        wanted.all(|filter| filter.value == status.as_str())
    }
}
