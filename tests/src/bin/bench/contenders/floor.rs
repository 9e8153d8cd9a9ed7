//! The floor: a bare epoll loop under the agent's steering.

use std::process::Command;

use anyhow::Result;
use httpfault_tests::command::built;

use super::{Contender, Server, agent, site};
use crate::results::{Task, Who};

const PORT: u16 = 20_003;

pub(super) fn contender() -> Result<Contender> {
    let site = site("floor")?;
    // It goes on beating the lease, and serves nobody.
    let agent = agent::inject(site.pid(), &[])?;
    let mut floor = Command::new(built("floor")?);
    floor.args(["--port", &PORT.to_string()]);
    for process in agent.cgroup().processes()? {
        floor.args(["--agent", &process.pid.to_string()]);
    }
    let server = Server::start("floor", &site.target, &floor)?.listening(&site.target, PORT)?;
    Ok(Contender::new(Who::Floor, Task::Fault, site, Some(server.beside(agent))))
}
