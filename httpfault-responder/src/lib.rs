//! The HTTP side of a fault: takes the connections that the kernel programs steered here and answers their requests
//! with the fault, or passes them to the application untouched.
//!
//! The crate knows nothing about eBPF, network namespaces or AWS. Whoever drives it brings listening sockets and an
//! [`Upstream`] that reaches the application, calls [`start`], later [`Responder::leave`] and [`Responder::finish`].
//!
//! One connection, top-down: `accept` takes it and looks at what the client has sent already; an HTTP/1 request that is
//! to be faulted is answered there. Else `connection` finds out what it speaks, and then it is
//! - passed through (`tunnel`): TLS, anything that is not HTTP, anything that could be read in two ways;
//! - HTTP/1 (`http1::front`): heads are read and decided once. Faulted requests that are here as a whole are answered at
//!   once with prebuilt bytes, other faulted ones one by one by hyper; spared requests and their answers are relayed byte
//!   for byte;
//! - served by hyper's HTTP/2 (`http2`).
#![forbid(unsafe_code)]

// Leaves first; every module uses only those above it.
mod activity;
mod adopted;
mod config;
mod decide;
mod injected;
mod listening;
mod scratch;
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

#[cfg(test)]
mod fuzz;

pub use adopted::{Adopted, Ending, Released};
pub use config::{Config, Connecting, Destination, Limits, Upstream};
pub use responder::{Adopter, FinishReport, Responder, start};
pub use stats::Stats;
