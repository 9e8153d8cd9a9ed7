//! A command, and its invocation on each instance.

use std::collections::BTreeMap;
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::faults::Fate;

/// `Status` of a command or of an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Status {
    /// Not yet received by the instance.
    Pending,
    /// Received; it may still wait for a free worker.
    InProgress,
    /// Exit code 0 (or 168).
    Success,
    /// CancelCommand took effect.
    Cancelled,
    /// Not delivered in time, or killed at its execution timeout.
    TimedOut,
    /// Anything else that ended.
    Failed,
    /// CancelCommand was called; the instance has not confirmed.
    Cancelling,
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "Pending",
            Status::InProgress => "InProgress",
            Status::Success => "Success",
            Status::Cancelled => "Cancelled",
            Status::TimedOut => "TimedOut",
            Status::Failed => "Failed",
            Status::Cancelling => "Cancelling",
        }
    }

    /// Whether nothing will change any more.
    pub fn is_final(self) -> bool {
        match self {
            Status::Success | Status::Cancelled | Status::TimedOut | Status::Failed => true,
            Status::Pending | Status::InProgress | Status::Cancelling => false,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) id: String,
    pub(crate) document: String,
    /// What runs, with the parameters in their places.
    pub(crate) script: String,
    pub(crate) execution_timeout: Option<String>,
    pub(crate) comment: String,
    pub(crate) parameters: BTreeMap<String, Vec<String>>,
    pub(crate) instance_ids: Vec<String>,
    pub(crate) targets: serde_json::Value,
    pub(crate) timeout_seconds: u32,
    pub(crate) max_concurrency: String,
    pub(crate) max_errors: String,
    pub(crate) requested: Timestamp,
    pub(crate) requested_at: Instant,
    pub(crate) fate: Fate,
    /// How often it was looked for while it was not visible yet.
    pub(crate) lookups: u32,
    pub(crate) invocations: Vec<Invocation>,
}

#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) instance_id: String,
    pub(crate) status: Status,
    pub(crate) details: &'static str,
    pub(crate) response_code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) output: String,
    pub(crate) started: Option<Timestamp>,
    pub(crate) finished: Option<Timestamp>,
    /// Process groups of the scripts that were started for it.
    pub(crate) process_groups: Vec<u32>,
    pub(crate) cancel: CancellationToken,
    /// Its document worker was killed; the script goes on without one.
    pub(crate) worker_died: CancellationToken,
}

/// A command as a test sees it.
#[derive(Clone, Debug)]
pub struct CommandView {
    /// CommandId.
    pub id: String,
    /// Document name.
    pub document: String,
    /// Comment.
    pub comment: String,
    /// The script: its `commands`, joined by newlines.
    pub script: String,
    /// All parameters.
    pub parameters: BTreeMap<String, Vec<String>>,
    /// Status over all instances.
    pub status: Status,
    /// One for each instance.
    pub invocations: Vec<InvocationView>,
}

/// An invocation as a test sees it.
#[derive(Clone, Debug)]
pub struct InvocationView {
    /// Instance.
    pub instance_id: String,
    /// Status.
    pub status: Status,
    /// StatusDetails.
    pub details: &'static str,
    /// ResponseCode, -1 before the end.
    pub response_code: i32,
    /// StandardOutputContent.
    pub stdout: String,
    /// StandardErrorContent.
    pub stderr: String,
    /// Whether its script was started, which InProgress does not say.
    pub started: bool,
    /// Process group ids of the scripts that were started for it.
    pub process_groups: Vec<u32>,
}

impl Command {
    pub(crate) fn script(&self) -> String {
        self.script.clone()
    }

    /// Seconds after which the agent kills the script. Outside 5..=172800 the agent silently takes an hour
    /// (amazon-ssm-agent, pluginutil.ValidateExecutionTimeout).
    pub(crate) fn execution_timeout(&self) -> u64 {
        let given = self.execution_timeout.as_ref().and_then(|seconds| seconds.parse().ok());
        given.filter(|seconds| (5..=172_800).contains(seconds)).unwrap_or(3600)
    }

    pub(crate) fn invocation_mut(&mut self, instance_id: &str) -> Option<&mut Invocation> {
        self.invocations.iter_mut().find(|invocation| invocation.instance_id == instance_id)
    }

    pub(crate) fn count(&self, matches: impl Fn(&Invocation) -> bool) -> usize {
        self.invocations.iter().filter(|invocation| matches(invocation)).count()
    }

    /// The command's own status and details, from those of its invocations.
    pub(crate) fn status(&self) -> (Status, &'static str) {
        if self.fate == Fate::RateExceeded {
            return (Status::Failed, details::RATE_EXCEEDED);
        }
        let has = |status| self.invocations.iter().any(|invocation| invocation.status == status);
        let all = |status| self.invocations.iter().all(|invocation| invocation.status == status);
        if has(Status::Cancelling) {
            (Status::Cancelling, "Cancelling")
        } else if all(Status::Pending) && !self.invocations.is_empty() {
            (Status::Pending, "Pending")
        } else if has(Status::Pending) || has(Status::InProgress) {
            (Status::InProgress, "InProgress")
        } else if has(Status::Failed) {
            (Status::Failed, "Failed")
        } else if has(Status::TimedOut) {
            let delivery = self.invocations.iter().all(|one| one.details != details::EXECUTION);
            (Status::TimedOut, if delivery { details::DELIVERY } else { details::EXECUTION })
        } else if has(Status::Cancelled) {
            (Status::Cancelled, "Cancelled")
        } else {
            (Status::Success, "Success")
        }
    }

    pub(crate) fn view(&self) -> CommandView {
        CommandView {
            id: self.id.clone(),
            document: self.document.clone(),
            comment: self.comment.clone(),
            script: self.script(),
            parameters: self.parameters.clone(),
            status: self.status().0,
            invocations: self.invocations.iter().map(Invocation::view).collect(),
        }
    }
}

/// Details that are more than the status in other letters.
pub(super) mod details {
    pub(crate) const DELIVERY: &str = "Delivery Timed Out";
    pub(crate) const EXECUTION: &str = "Execution Timed Out";
    pub(crate) const UNDELIVERABLE: &str = "Undeliverable";
    pub(crate) const TERMINATED: &str = "Terminated";
    pub(crate) const RATE_EXCEEDED: &str = "Rate Exceeded";
}

impl Invocation {
    pub(crate) fn new(instance_id: &str) -> Self {
        Invocation {
            instance_id: instance_id.to_owned(),
            status: Status::Pending,
            details: "Pending",
            response_code: -1,
            stdout: String::new(),
            stderr: String::new(),
            output: String::new(),
            started: None,
            finished: None,
            process_groups: Vec::new(),
            cancel: CancellationToken::new(),
            worker_died: CancellationToken::new(),
        }
    }

    fn view(&self) -> InvocationView {
        InvocationView {
            instance_id: self.instance_id.clone(),
            status: self.status,
            details: self.details,
            response_code: self.response_code,
            stdout: self.stdout.clone(),
            stderr: self.stderr.clone(),
            started: self.started.is_some(),
            process_groups: self.process_groups.clone(),
        }
    }
}
