//! What the agent and its responder say to each other.

use std::net::SocketAddr;

use httpfault_responder::FinishReport;
use serde::{Deserialize, Serialize};

use crate::existing::Released;

/// Agent to responder. Targets are numbered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// Be able to make sockets in the network namespace that comes with this.
    Enter { target: u32 },
    /// Every namespace was named: give up every privilege. Nothing is served before.
    Confine,
    /// Serve the listening sockets that come with this, after the map of in-task clients. Answered by
    /// [`Report::Started`].
    Start(Start),
    /// The agent's own probes are done.
    EndProbing { target: u32 },
    /// The fault is over: further requests are the application's.
    Leave { target: u32 },
    /// End, with that much time for open connections. Answered by [`Report::Finished`].
    Finish { target: u32, grace_ms: u64 },
    /// The target is no more: cut what is left, and leave its namespace.
    Forget { target: u32 },
    /// Serve the stream that comes with this, which carries a connection of the application.
    Adopt { target: u32, connection: u64, origin: SocketAddr },
    /// Let go of it, if it is between two requests. Answered by [`Report::Released`].
    Release { connection: u64 },
}

/// One target's part of the responder's configuration; the rest it has from the command line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) target: u32,
    pub(super) loopback4: Option<SocketAddr>,
    pub(super) loopback6: Option<SocketAddr>,
    pub(super) token: String,
}

/// Responder to agent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// It can't do without a privilege, and ends.
    Unconfined(String),
    Started {
        target: u32,
        error: Option<String>,
    },
    Finished {
        target: u32,
        report: FinishReport,
    },
    /// An answer on an adopted connection was the last: its client is to be told that it ends.
    Closed {
        connection: u64,
    },
    Released {
        connection: u64,
        released: Released,
    },
}
