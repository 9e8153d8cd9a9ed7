//! What the agent and its keeper say to each other.

use std::net::SocketAddr;

use httpfault_common::contract::ExperimentId;
use serde::{Deserialize, Serialize};

use crate::existing::{Job, Released, Stage, Tally};

/// Agent to keeper.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// The run has claimed its state: sweep it when the agent ends without having done so.
    Sweep(ExperimentId),
    /// Take note of a target's connections. Answered by a [`Stage::Found`].
    Find { target: u32, job: Job },
    /// The fault is on: do with them what the job says. Answered by a [`Stage::Started`].
    Start { target: u32 },
    /// The fault is over: let go of them. Answered by a [`Stage::Settled`].
    Settle { target: u32 },
    /// An answer on a taken connection was the last: its client is to be told that it ends.
    Closed { connection: u64 },
    /// The answer to [`Report::Release`].
    Released { connection: u64, released: Released },
}

/// Keeper to agent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// Where a target's connections stand.
    Progress { target: u32, progress: Progress },
    /// Requests of a taken connection arrive on the stream that comes with this; its client connected to `origin`.
    Carry { target: u32, connection: u64, origin: SocketAddr },
    /// Let go of it, if it is between two requests.
    Release { target: u32, connection: u64 },
    /// Something for the agent's log.
    Warning(String),
}

/// Where one target's connections stand.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) stage: Stage,
    pub(super) tally: Tally,
    /// Why nothing can be done about them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}
