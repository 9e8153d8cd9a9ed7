//! A task of the service: a real container with nginx, behind a published port of the instance.

use std::net::SocketAddr;

use anyhow::Result;
use httpfault_simulator::{Container as EcsContainer, Task};

use super::{SERVICE, host};
use crate::{
    docker::{Container, Instance, Plan},
    load::{self, Load, Outcome, Style, Tally},
    wire,
};

/// Where the responder listens in a task's namespace.
pub const PROXY_PORT: u16 = 20000;
/// First published port.
const FIRST_PORT: u16 = 8080;

/// A running task.
#[derive(Debug)]
pub struct Web<'i> {
    pub container: Container<'i>,
    /// Its id.
    pub task: String,
    /// The host that ECS says it runs on.
    pub host: String,
    /// Where clients reach it.
    pub address: SocketAddr,
    name: String,
    published: u16,
    instance: &'i Instance,
}

impl<'i> Web<'i> {
    /// Task `number`, on that host. Numbers are the caller's and differ.
    pub fn start(instance: &'i Instance, number: u16, on_host: usize) -> Result<Self> {
        let name = format!("web-{number}");
        let task = format!("{:032x}", 0x7a5c_0000_u32 + u32::from(number));
        let published = FIRST_PORT + number;
        let container = Plan::nginx(&name).task(&task).publish(published, 80).serve(instance, 80)?;
        let address = Instance::published(published);
        Ok(Self { container, task, host: host(on_host), address, name, published, instance })
    }

    /// As ECS knows it.
    pub fn as_task(&self) -> Task {
        let container = EcsContainer::new(&self.name).runtime_id(&self.container.id).port(80, self.published);
        Task::on(&self.host).id(&self.task).service(SERVICE).container(container)
    }

    /// One request from outside, on a connection of its own.
    pub fn get(&self, path: &str) -> Result<wire::Response> {
        self.instance.get(self.address, path)
    }

    /// A few clients that ask all the time, each on a new connection.
    pub fn load(&self) -> Load {
        let plan = load::Plan::new(self.address, 2, Style::Close).pause(std::time::Duration::from_millis(10));
        Load::start(&self.instance.outside, plan)
    }
}

/// Ends the load: faults and real answers, when no request was lost and there was nothing else.
pub fn classified(load: Load) -> Result<(Tally, usize, usize)> {
    let tally = load.stop()?;
    anyhow::ensure!(tally.lost().is_empty(), "requests were lost: {} {:?}", tally.summary(), tally.lost());
    let (faults, real) = (tally.count(Outcome::Fault), tally.count(Outcome::Real));
    Ok((tally, faults, real))
}
