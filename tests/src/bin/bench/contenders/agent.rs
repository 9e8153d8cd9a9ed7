//! The agent, as it is handed out.

use std::{path::Path, process::Command};

use anyhow::Result;
use httpfault_tests::agent::{binary, experiment, run_args};

use super::{Contender, Server, site};
use crate::results::{Task, Who};

pub(super) fn contender(task: Task) -> Result<Contender> {
    of(&binary()?, task)
}

/// Another build of the agent.
pub(crate) fn of(program: &Path, task: Task) -> Result<Contender> {
    let site = site("agent")?;
    let more: &[&str] = match task {
        Task::Fault => &[],
        Task::Half => &["--percent", "50"],
        Task::Spare => &["--percent", "0"],
        Task::Forward => &["--modify-response-body", "false"],
    };
    let server = Server::inject("agent", &lasting(program, site.pid(), more))?;
    Ok(Contender::new(Who::Agent, task, site, Some(server)))
}

/// A fault that lasts as long as the measurement, on the server's core.
pub(super) fn inject(target: u32, more: &[&str]) -> Result<Server> {
    Server::inject("agent", &lasting(&binary()?, target, more))
}

fn lasting(program: &Path, target: u32, more: &[&str]) -> Command {
    let always = ["--duration", "3600"];
    let words = run_args(["--pid", &target.to_string()], &experiment("bench"), &[&always, more].concat());
    let mut agent = Command::new(program);
    agent.args(words);
    agent
}
