//! What the agent prints, one JSON object a line. The verdict comes first and zero counters are left out: SSM shows
//! only the first 2,500 bytes of a command's output.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{exit::Exit, history::History, spec::ExperimentId};

/// One line of `run`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Steering is on and proved.
    Injected(Injected),
    /// The fault is over and everything was undone, or the report says what was not.
    Removed(Removed),
    /// Nothing was changed, for these reasons.
    Refused(CheckReport),
    /// The same experiment already runs here; this process changed nothing.
    AlreadyRunning(FaultStatus),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Injected {
    pub experiment_id: ExperimentId,
    /// When the last target was proved (host clock).
    pub at: Timestamp,
    pub deadline: Timestamp,
    pub targets: Vec<InjectedTarget>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InjectedTarget {
    /// As it was asked for: `task 0123…`.
    pub target: String,
    /// What it was found to be: container name and short id, or process.
    pub found: String,
    /// Which source named it: introspection, metadata file, docker, proc.
    pub source: String,
    /// Absent when the fault is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Removed {
    pub exit: Exit,
    pub experiment_id: ExperimentId,
    pub reason: RemovedReason,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub injected_at: Option<Timestamp>,
    pub removed_at: Timestamp,
    /// When the counters were read, where that was before the end: the agent was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters_at: Option<Timestamp>,
    pub targets: Vec<TargetReport>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_behind: Vec<LeftBehind>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Absent where nothing came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<Box<History>>,
}

/// Why a fault ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovedReason {
    /// The duration is over.
    Deadline,
    /// SIGTERM, SIGINT, or SIGKILL, which SSM sends when a command is cancelled.
    Signal,
    /// `httpfault-agent remove`.
    Request,
    /// Every target exited.
    TargetGone,
    /// The agent was stopped for longer than its lease.
    Lease,
    /// No target could be injected.
    InjectionFailed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetReport {
    pub target: String,
    pub outcome: Outcome,
    pub counters: Counters,
    /// For `no_traffic`: likely causes, from what was seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
}

/// What became of one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// At least one request got the fault.
    Faulted,
    /// The fault was on and no request got it.
    NoTraffic,
    /// The target exited while the fault was on.
    TargetGone,
    /// The fault could not be put on, or its lease ran out before its end.
    Failed,
}

/// What was seen at one target. Units: connections or requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// New connections from outside that were given to the responder.
    #[serde(skip_serializing_if = "is_zero")]
    pub connections_inbound: u64,
    /// New connections from inside the task that were given to the responder.
    #[serde(skip_serializing_if = "is_zero")]
    pub connections_in_task: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub requests_http10: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub requests_http11: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub requests_http2: u64,
    /// Requests that were answered with the fault.
    #[serde(skip_serializing_if = "is_zero")]
    pub faulted: u64,
    /// Faulted requests for which the application was called (MODIFY_RESPONSE_BODY=false).
    #[serde(skip_serializing_if = "is_zero")]
    pub forwarded: u64,
    /// Requests that were left to the application: not selected, excluded, outside the percentage, or after the end.
    #[serde(skip_serializing_if = "is_zero")]
    pub spared: u64,
    /// Connections that began with a TLS handshake and were passed through.
    #[serde(skip_serializing_if = "is_zero")]
    pub tls: u64,
    /// Connections that were neither TLS nor HTTP and were passed through.
    #[serde(skip_serializing_if = "is_zero")]
    pub not_http: u64,
    /// Of them: began with a PROXY protocol header, as load balancers send it where their target group says so.
    #[serde(skip_serializing_if = "is_zero")]
    pub proxy_protocol: u64,
    /// Spared requests that offered to change to HTTP/2 (`Upgrade: h2c`), and were passed on without the offer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub h2c_refused: u64,
    /// Times the application could not be reached or broke off.
    #[serde(skip_serializing_if = "is_zero")]
    pub upstream_errors: u64,
    /// Connections of clients that were open when the fault started.
    #[serde(skip_serializing_if = "is_zero")]
    pub existing_found: u64,
    /// Of them: taken, that is their requests were answered in place.
    #[serde(skip_serializing_if = "is_zero")]
    pub existing_taken: u64,
    /// Of those: given back to the application at the end.
    #[serde(skip_serializing_if = "is_zero")]
    pub existing_given_back: u64,
    /// Of them: ended in order.
    #[serde(skip_serializing_if = "is_zero")]
    pub existing_drained: u64,
    /// Of them: reset.
    #[serde(skip_serializing_if = "is_zero")]
    pub existing_reset: u64,
    /// Of them: left alone, because they carried TLS.
    #[serde(skip_serializing_if = "is_zero")]
    pub existing_tls: u64,
    /// Of them: left alone, because they carried WebSocket.
    #[serde(skip_serializing_if = "is_zero")]
    pub existing_websocket: u64,
    /// Of them: left alone, because they carried nothing that is known.
    #[serde(skip_serializing_if = "is_zero")]
    pub existing_not_http: u64,
    /// Of them: still open at the end.
    #[serde(skip_serializing_if = "is_zero")]
    pub existing_still_open: u64,
    /// Requests that went over them to the application while the fault was on.
    #[serde(skip_serializing_if = "is_zero")]
    pub existing_escaped: u64,
    /// New connections that the kernel programs passed to the application because of a doubt (lease, socket).
    #[serde(skip_serializing_if = "is_zero")]
    pub passed_open: u64,
    /// Connection attempts to the target's other ports.
    #[serde(skip_serializing_if = "is_zero")]
    pub other_ports: u64,
}

/// For `skip_serializing_if`, which passes a reference.
pub fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What is wrong, with what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What was being looked at or done: `container web`, `PROXY_PORT 20000`.
    pub subject: String,
    pub problem: String,
    pub next: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}; {}", self.subject, self.problem, self.next)
    }
}

/// Something that a run or `remove` could not take away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftBehind {
    pub what: String,
    pub error: String,
    /// The command that removes it.
    pub remove_with: String,
}

/// `check`, and the reason of a refusal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckReport {
    pub ready: bool,
    pub experiment_id: ExperimentId,
    pub problems: Vec<Problem>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    pub targets: Vec<InjectedTarget>,
}

/// `status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    pub faults: Vec<FaultStatus>,
    /// Where one experiment was asked for and is over: the last word of its agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Box<Removed>>,
}

/// One fault on this host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultStatus {
    pub experiment_id: ExperimentId,
    pub phase: Phase,
    pub agent_pid: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub injected_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    pub port: u16,
    pub status_code: u16,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetReport>,
}

/// Where a fault is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing is proved yet.
    Starting,
    /// Steering is on and proved.
    On,
    /// Hooks are off; open connections are being finished.
    Ending,
    /// The agent lives but does not answer; its lease has returned the traffic.
    NotResponding,
    /// The agent is gone and left its state.
    Stale,
}

/// `remove`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoveReport {
    pub exit: Exit,
    /// Faults that are over now.
    pub removed: Vec<RemovedFault>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_behind: Vec<LeftBehind>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedFault {
    pub experiment_id: String,
    pub how: RemovedHow,
}

/// How `remove` ended a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovedHow {
    /// By its own agent, gracefully.
    Ended,
    /// Its agent did not answer and was killed; what it had left was swept up.
    Killed,
    /// Its agent was gone; what it had left was swept up.
    Swept,
}
