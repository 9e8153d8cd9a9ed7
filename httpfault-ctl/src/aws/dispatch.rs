//! SendCommand and CancelCommand. A command may be carried out although its answer was lost, so it carries a comment
//! that no other command has, and is looked up by it before it is sent again.

use std::{cell::Cell, fmt, time::Duration};

use aws_sdk_ssm::config::retry::RetryConfig;
use backon::{ExponentialBuilder, Retryable};
use httpfault_common::contract::ExperimentId;
use jiff::Timestamp;

use super::{
    config::Cloud,
    error::ApiError,
    limit::{COMMENT_CHARS, DELIVERY_SECS, LEAST_EXECUTION_SECS},
    scripts::Work,
    valid::{Gone, for_valid},
};
use crate::fleet::InstanceId;

/// Attempts to send a command that was throttled or whose answer was lost.
const ATTEMPTS: usize = 12;
const MAX_BACKOFF: Duration = Duration::from_secs(20);

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Probe,
    Piece,
    Install,
    Fetch,
    Inject,
    Status,
    Remove,
}

/// A command that was sent, or may have been.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) comment: String,
    pub(crate) instances: Vec<InstanceId>,
    /// `None` until SSM answered.
    pub(crate) command: Option<String>,
    pub(crate) since: Timestamp,
    /// When SSM had answered; throttling can put it long after `since`.
    pub(crate) answered: Timestamp,
    /// It was carried out a second time, and this is the other one.
    pub(crate) is_twin: bool,
}

impl Cloud {
    /// Sends one script to at most 50 instances; the result has those for which SSM takes no command. `ledger` holds each
    /// command from before the call, so that an abort in the middle of it can still find out what became of it.
    pub(crate) async fn send(
        &self,
        action: Action,
        experiment: Option<&ExperimentId>,
        script: &Work,
        instances: &[InstanceId],
        execution: Duration,
        ledger: &mut Vec<Sent>,
    ) -> Result<Gone, ApiError> {
        let send = async |some: &[InstanceId]| {
            let comment = comment(experiment, action);
            self.send_to(some, comment, script, execution, ledger).await
        };
        for_valid(instances, send).await.map(|(_, gone)| gone)
    }

    async fn send_to(
        &self,
        instances: &[InstanceId],
        comment: String,
        script: &Work,
        execution: Duration,
        ledger: &mut Vec<Sent>,
    ) -> Result<(), ApiError> {
        let sent = Sent {
            comment,
            instances: instances.to_vec(),
            command: None,
            since: Timestamp::now(),
            answered: Timestamp::now(),
            is_twin: false,
        };
        ledger.push(sent.clone());
        let sent = &sent;
        let doubtful = Cell::new(false);
        let attempt = || async {
            if doubtful.get()
                && let Some(command) = self.commands_with(&sent.comment, sent.since).await?.pop()
            {
                return Ok(command);
            }
            let result = self.send_once(sent, script, execution).await;
            doubtful.set(doubtful.get() || result.as_ref().is_err_and(ApiError::maybe_carried_out));
            result
        };
        let backoff = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(self.poll().min(Duration::from_secs(1)))
            .with_max_delay(MAX_BACKOFF)
            .with_max_times(ATTEMPTS);
        let result = attempt.retry(backoff).when(ApiError::is_passing).await;
        let answered = Timestamp::now();
        // Only what was refused, every time, was not carried out.
        let refused = result.as_ref().is_err_and(|error| !error.maybe_carried_out()) && !doubtful.get();
        if let Some(mut entry) = ledger.pop()
            && !refused
        {
            entry.command = result.as_ref().ok().cloned();
            entry.answered = answered;
            ledger.push(entry);
        }
        result.map(drop)
    }

    async fn send_once(&self, sent: &Sent, work: &Work, execution: Duration) -> Result<String, ApiError> {
        let seconds = execution.as_secs().max(LEAST_EXECUTION_SECS).to_string();
        let (document, parameter, value) = match &self.document {
            Some(name) => (name.as_str(), "request", work.request().map_err(unwritten)?),
            None => ("AWS-RunShellScript", "commands", work.script.clone()),
        };
        let request = self
            .ssm
            .send_command()
            .document_name(document)
            .parameters(parameter, vec![value])
            .comment(&sent.comment)
            .set_instance_ids(Some(sent.instances.iter().map(ToString::to_string).collect()))
            .parameters("executionTimeout", vec![seconds])
            .timeout_seconds(DELIVERY_SECS)
            // All hosts at once, and one that fails does not keep the command from the others.
            .max_concurrency("50")
            .max_errors("100%")
            .customize()
            .config_override(aws_sdk_ssm::config::Builder::new().retry_config(RetryConfig::disabled()));
        let output = self.call("ssm:SendCommand", request.send()).await?;
        let command = output.command.and_then(|command| command.command_id);
        command.ok_or_else(|| ApiError::Unreachable {
            action: "ssm:SendCommand",
            detail: "the answer names no command id".to_owned(),
        })
    }

    /// Asks SSM to kill a command on these hosts. There is no guarantee that it does: prove it with `status`.
    pub(crate) async fn cancel(&self, command: &str, instances: &[InstanceId]) -> Result<(), ApiError> {
        let cancel = async |some: &[InstanceId]| {
            let ids = some.iter().map(ToString::to_string).collect();
            let request = self.ssm.cancel_command().command_id(command).set_instance_ids(Some(ids));
            self.call("ssm:CancelCommand", request.send()).await.map(drop)
        };
        for_valid(instances, cancel).await.map(drop)
    }
}

fn unwritten(error: std::io::Error) -> ApiError {
    let message = format!("packing the request of the document: {error}");
    ApiError::Service { action: "ssm:SendCommand", code: "not sent".to_owned(), message, status: 0 }
}

/// `httpfault <experiment> <action> <eight hex digits>`: unique, found again by its beginning.
fn comment(experiment: Option<&ExperimentId>, action: Action) -> String {
    let mut text = format!("{}{action} {:08x}", comment_prefix(experiment), fastrand::u32(..));
    text.truncate(COMMENT_CHARS);
    text
}

/// What the comments of all commands of an experiment begin with.
pub(super) fn comment_prefix(experiment: Option<&ExperimentId>) -> String {
    format!("httpfault {} ", experiment.map_or("-", ExperimentId::as_str))
}

// === impl Action ===

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Probe => "probe",
            Self::Piece => "piece",
            Self::Install => "install",
            Self::Fetch => "fetch",
            Self::Inject => "inject",
            Self::Status => "status",
            Self::Remove => "remove",
        })
    }
}
