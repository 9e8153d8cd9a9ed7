//! CancelCommand.

use serde::Deserialize;
use serde_json::{Value, json};

use super::command::{Invocation, Status};
use crate::http::{ApiError, Context, read};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    command_id: String,
    #[serde(default)]
    instance_ids: Vec<String>,
}

/// What has not reached its instance is cancelled at once; to the others the request is passed on, and a command that
/// has ended stays as it is.
pub(super) fn cancel(context: &mut Context<'_>, request: Value) -> Result<Value, ApiError> {
    let request: Request = read(request)?;
    context.authorize(&[context.any_resource()], None)?;
    let Some(command) = context.state.command_mut(&request.command_id) else {
        return Err(ApiError::new("InvalidCommandId", "The specified command ID isn't valid."));
    };
    let mut ids = request.instance_ids.clone();
    ids.sort();
    ids.dedup();
    if ids.len() != request.instance_ids.len() {
        return Err(ApiError::new("DuplicateInstanceId", "An instance is named more than once."));
    }
    if ids.iter().any(|id| command.invocation_mut(id).is_none()) {
        return Err(ApiError::new("InvalidInstanceId", "The command was not sent to one of the instances."));
    }
    for invocation in &mut command.invocations {
        if ids.is_empty() || ids.contains(&invocation.instance_id) {
            cancel_one(invocation);
        }
    }
    Ok(json!({}))
}

fn cancel_one(invocation: &mut Invocation) {
    match invocation.status {
        Status::Pending => {
            invocation.status = Status::Cancelled;
            invocation.details = "Cancelled";
            invocation.cancel.cancel();
        }
        Status::InProgress => {
            invocation.status = Status::Cancelling;
            invocation.details = "Cancelling";
            invocation.cancel.cancel();
        }
        Status::Cancelling | Status::Success | Status::Cancelled | Status::TimedOut | Status::Failed => {}
    }
}
