//! What came in the course of time.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How often something happened in each step of a run, at all of its targets together. A series that is shorter than
/// others is 0 from there on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Beginning of the first step (host clock).
    pub from: Timestamp,
    /// Length of a step.
    pub step_ms: u64,
    /// Number of steps; the last one may not have been over.
    pub steps: usize,
    /// Requests that were answered with the fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faulted: Vec<u64>,
    /// Of them: the application was called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forwarded: Vec<u64>,
    /// Requests that were left to the application.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spared: Vec<u64>,
    /// Requests that went to the application over connections from before the fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escaped: Vec<u64>,
    /// New connections that were given to the responder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<u64>,
}
