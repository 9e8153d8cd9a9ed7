//! SSM's output structures. Members that a caller did not set are empty strings, as the service sends them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::command::{Command, Invocation, Status};

const PLUGIN: &str = "aws:runShellScript";

pub(super) fn command(command: &Command) -> Value {
    let (status, details) = command.status();
    let undelivered = super::command::details::DELIVERY;
    json!({
        "CommandId": command.id,
        "DocumentName": command.document,
        "DocumentVersion": "$DEFAULT",
        "Comment": command.comment,
        "ExpiresAfter": epoch(command.requested) + f64::from(command.timeout_seconds),
        "Parameters": command.parameters,
        "InstanceIds": command.instance_ids,
        "Targets": command.targets,
        "RequestedDateTime": epoch(command.requested),
        "Status": status.as_str(),
        "StatusDetails": details,
        "OutputS3BucketName": "",
        "OutputS3KeyPrefix": "",
        "MaxConcurrency": command.max_concurrency,
        "MaxErrors": command.max_errors,
        "TargetCount": command.invocations.len(),
        "CompletedCount": command.count(|one| one.status.is_final()),
        "ErrorCount": command.count(|one| matches!(one.status, Status::Failed | Status::TimedOut)),
        "DeliveryTimedOutCount": command.count(|one| one.details == undelivered),
        "ServiceRole": "",
        "NotificationConfig": { "NotificationArn": "", "NotificationEvents": [], "NotificationType": "" },
        "CloudWatchOutputConfig": { "CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": false },
        "TimeoutSeconds": command.timeout_seconds,
    })
}

/// An element of ListCommandInvocations.
pub(super) fn invocation(command: &Command, invocation: &Invocation, details: bool) -> Value {
    let plugins = if details { vec![plugin(invocation)] } else { Vec::new() };
    json!({
        "CommandId": command.id,
        "InstanceId": invocation.instance_id,
        "InstanceName": "",
        "Comment": command.comment,
        "DocumentName": command.document,
        "DocumentVersion": "$DEFAULT",
        "RequestedDateTime": epoch(command.requested),
        "Status": invocation.status.as_str(),
        "StatusDetails": invocation.details,
        "StandardOutputUrl": "",
        "StandardErrorUrl": "",
        "CommandPlugins": plugins,
        "ServiceRole": "",
        "NotificationConfig": { "NotificationArn": "", "NotificationEvents": [], "NotificationType": "" },
        "CloudWatchOutputConfig": { "CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": false },
    })
}

fn plugin(invocation: &Invocation) -> Value {
    // CommandPluginStatus has no Cancelling.
    let status = if invocation.status == Status::Cancelling { Status::InProgress } else { invocation.status };
    let mut plugin = json!({
        "Name": PLUGIN,
        "Status": status.as_str(),
        "StatusDetails": invocation.details,
        "ResponseCode": invocation.response_code,
        "Output": invocation.output,
        "StandardOutputUrl": "",
        "StandardErrorUrl": "",
        "OutputS3Region": "us-east-1",
        "OutputS3KeyPrefix": "",
    });
    if let Some(started) = invocation.started {
        plugin["ResponseStartDateTime"] = json!(epoch(started));
    }
    if let Some(finished) = invocation.finished {
        plugin["ResponseFinishDateTime"] = json!(epoch(finished));
    }
    plugin
}

/// The answer of GetCommandInvocation. Output is there only after the end.
pub(super) fn invocation_result(command: &Command, invocation: &Invocation) -> Value {
    let time = |time: Option<Timestamp>| time.map(iso).unwrap_or_default();
    let elapsed = match (invocation.started, invocation.finished) {
        (Some(started), Some(finished)) => {
            format!("PT{:.3}S", (finished - started).total(jiff::Unit::Second).unwrap_or(0.0))
        }
        _ => String::new(),
    };
    json!({
        "CommandId": command.id,
        "InstanceId": invocation.instance_id,
        "Comment": command.comment,
        "DocumentName": command.document,
        "DocumentVersion": "$DEFAULT",
        "PluginName": PLUGIN,
        "ResponseCode": invocation.response_code,
        "ExecutionStartDateTime": time(invocation.started),
        "ExecutionElapsedTime": elapsed,
        "ExecutionEndDateTime": time(invocation.finished),
        "Status": invocation.status.as_str(),
        "StatusDetails": invocation.details,
        "StandardOutputContent": invocation.stdout,
        "StandardOutputUrl": "",
        "StandardErrorContent": invocation.stderr,
        "StandardErrorUrl": "",
        "CloudWatchOutputConfig": { "CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": false },
    })
}

pub(super) fn epoch(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}

fn iso(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
