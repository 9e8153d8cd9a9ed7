//! Who is measured: each in a network namespace of its own, made the same way, with the same application in it, and
//! with a cgroup of its own, by which its CPU time is known.

pub(crate) mod agent;
mod application;
mod floor;
pub(crate) mod haproxy;
mod mitmproxy;
mod nginx;
mod redirect;
mod server;

use anyhow::Result;
use httpfault_tests::{cgroup::Cgroup, site::Site};

use crate::results::{Style, Task, Who};
pub(crate) use application::{BIG, BIG_BYTES, site};
pub(crate) use nginx::Nginx;
pub(crate) use redirect::Redirect;
pub(crate) use server::{Program, Server};

/// Core of everything that serves, and core of the load.
pub(crate) const SERVER_CORE: &str = "0";
pub(crate) const LOAD_CORE: &str = "1";

/// Ports of the application beside the target's: HTTP/2, and one that no fault is meant for.
pub(crate) const HTTP2_PORT: u16 = 82;
pub(crate) const OTHER_PORT: u16 = 83;
/// Where peers listen behind the REDIRECT, HTTP/1 and HTTP/2.
const PEER_PORT: u16 = 20_001;
const PEER_HTTP2_PORT: u16 = 20_002;

/// What a fault says, whoever says it: as long as the agent's own words.
const BODY: &str = "503 Service Unavailable: fault injected for a measurement\\n";

/// A server under test.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) who: Who,
    pub(crate) task: Task,
    pub(crate) styles: Vec<Style>,
    /// Of HTTP/2.
    http2: u16,
    /// None where the application itself is measured.
    server: Option<Server>,
    pub(crate) site: Site,
}

impl Contender {
    fn new(who: Who, task: Task, site: Site, server: Option<Server>) -> Self {
        let styles = if task == Task::Fault { Style::ALL.to_vec() } else { Style::PROXIED.to_vec() };
        Self { who, task, styles, http2: 80, server, site }
    }

    /// Speaks HTTP/2 on a port of its own.
    fn http2_apart(self) -> Self {
        Self { http2: HTTP2_PORT, ..self }
    }

    fn only(self, styles: &[Style]) -> Self {
        Self { styles: styles.to_vec(), ..self }
    }

    /// Whose CPU time and memory count.
    pub(crate) fn cgroup(&self) -> &Cgroup {
        self.server.as_ref().map_or_else(|| self.site.cgroup(), Server::cgroup)
    }

    pub(crate) fn url(&self, style: Style) -> String {
        let port = if style.streams().is_some() { self.http2 } else { 80 };
        format!("http://{}:{port}/", self.site.v4().ip())
    }
}

/// Who answers every request with a fault, and the application alone.
pub(crate) fn faulting(mitmproxy: bool) -> Result<Vec<Contender>> {
    let mut all = vec![
        agent::contender(Task::Fault)?,
        nginx::contender()?,
        haproxy::contender(Task::Fault)?,
        floor::contender()?,
        Contender::new(Who::Application, Task::Fault, site("alone")?, None).http2_apart(),
    ];
    if mitmproxy {
        all.push(mitmproxy::contender()?);
    }
    Ok(all)
}

/// Who passes requests to the application.
pub(crate) fn proxying() -> Result<Vec<Contender>> {
    let mut all = Vec::new();
    for task in Task::PROXIED {
        all.push(agent::contender(task)?);
        all.push(haproxy::contender(task)?);
    }
    Ok(all)
}

/// Servers of which the memory is compared.
pub(crate) fn holding() -> Result<Vec<Contender>> {
    Ok(vec![agent::contender(Task::Fault)?, nginx::contender()?, haproxy::contender(Task::Fault)?])
}

/// Who passes a large body, and the application alone.
pub(crate) fn passing() -> Result<Vec<Contender>> {
    let alone = Contender::new(Who::Application, Task::Forward, site("alone")?, None);
    Ok(vec![agent::contender(Task::Forward)?, haproxy::contender(Task::Forward)?, alone])
}
