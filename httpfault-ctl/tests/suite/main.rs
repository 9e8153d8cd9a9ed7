//! Runs httpfault-ctl against the AWS simulator, which runs the scripts for real; a shell script stands in for the
//! agent.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking, helpers too")]

mod abort;
mod application;
mod authentication;
mod busy;
mod delivery;
mod delivery_ways;
mod deployed;
mod dispatch;
mod document;
mod exit_codes;
mod gone;
mod guards;
mod hostile;
mod kubernetes;
mod litmus;
mod metrics;
mod moto;
mod plan;
mod proxy;
mod refusals;
mod report;
mod remove;
mod rights;
mod steady_state;
mod stop;
mod support;
mod tls;
mod trace;
mod tunables;
mod tunnel;
