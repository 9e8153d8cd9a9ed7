//! Tests of the simulator, in one program: first against independent witnesses, then behaviour by behaviour.

#![expect(clippy::unwrap_used, reason = "a test, or what helps it, fails where it can't go on")]

mod support;

mod botocore;
mod moto;

mod ecs;
mod execution;
mod faults;
mod harsh;
mod hosts;
mod permissions;
mod program;
mod queue;
mod scale;
mod stopping;
