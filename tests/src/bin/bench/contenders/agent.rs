//! The agent, as it is handed out.

use std::process::Command;

use anyhow::Result;
use httpfault_tests::agent::{binary, experiment, run_args};

use super::{Contender, Server, site};
use crate::results::{Task, Who};

pub(super) fn contender(task: Task) -> Result<Contender> {
    let site = site("agent")?;
    let more: &[&str] = match task {
        Task::Fault => &[],
        Task::Half => &["--percent", "50"],
        Task::Spare => &["--percent", "0"],
        Task::Forward => &["--modify-response-body", "false"],
    };
    let server = inject(site.pid(), more)?;
    Ok(Contender::new(Who::Agent, task, site, Some(server)))
}

/// A fault that lasts as long as the measurement, on the server's core.
pub(super) fn inject(target: u32, more: &[&str]) -> Result<Server> {
    let always = ["--duration", "3600"];
    let words = run_args(["--pid", &target.to_string()], &experiment("bench"), &[&always, more].concat());
    let mut agent = Command::new(binary()?);
    agent.args(words);
    Server::inject("agent", &agent)
}
