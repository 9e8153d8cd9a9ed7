//! The HTTP side of a fault: takes the connections that the kernel programs steered here and answers their requests
//! with the fault, or passes them to the application untouched.
//!
//! The crate knows nothing about eBPF, network namespaces or AWS. Whoever drives it brings listening sockets and an
//! [`Upstream`] that reaches the application, calls [`start`], later [`Responder::leave`] and [`Responder::finish`].
//!
//! One connection, top-down: `accept` takes it, `connection` sniffs its first bytes, then it is
//! - passed through (`tunnel`): TLS, anything that is not HTTP, anything that could be read in two ways;
//! - served by hyper alone (`http1::direct`): HTTP/1 where every request is to be faulted;
//! - put through the gate (`http1::gate`): HTTP/1 where only some are, and all after the fault is over; spared requests
//!   and their answers cross it byte for byte;
//! - served by hyper's HTTP/2 (`http2`).
#![forbid(unsafe_code)]

// Leaves first; every module uses only those above it.
mod activity;
mod adopted;
mod config;
mod decide;
mod injected;
mod sniff;
mod stats;
mod stream;

mod context;

mod upstream;

mod answer;
mod tunnel;

mod http1;
mod http2;

mod connection;

mod accept;

mod responder;

pub use adopted::{Adopted, Ending, Released};
pub use config::{Config, Connecting, Destination, Limits, Upstream};
pub use responder::{FinishReport, Responder, start};
pub use stats::Stats;
