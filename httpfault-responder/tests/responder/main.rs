//! The responder through real loopback sockets: raw bytes in, raw bytes out, and a raw recording server as application.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail tests")]

#[path = "../../src/fuzz.rs"]
mod fuzz;
mod support;

mod adopted;
mod caching;
mod forwarding;
mod grpc;
mod hostile;
mod http2;
mod injected;
mod leaving;
mod limits;
mod mixed;
mod tunnels;
mod untouched;
mod upgrades;
mod uploads;
