//! Which connections exist: the target's established ones in scope, without those of the agent.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
};

use anyhow::Context as _;
use procfs::process::Process;

use super::Job;
use crate::{
    cgroup::Cgroup,
    netns::Netns,
    scope::Scope,
    sockets::{self, Held},
};

/// Finds a target's connections.
pub(super) struct Finder {
    netns: Netns,
    agents: Vec<u32>,
    cgroup: Cgroup,
    scope: Scope,
    port: u16,
}

impl Finder {
    pub(super) fn new(job: &Job) -> anyhow::Result<Self> {
        let Job { pid, ref agents, ref cgroup, ref scope, port, .. } = *job;
        let netns = Netns::of_process(pid).context("opening the target's network namespace")?;
        let agents = agents.clone();
        Ok(Self { netns, agents, cgroup: cgroup.clone(), scope: scope.clone(), port })
    }

    /// Where the application has each, by socket cookie.
    pub(super) fn established(&self) -> anyhow::Result<HashMap<u64, Held>> {
        let mut found = sockets::established(&self.netns, self.port)?;
        found.retain(|connection| self.scope.serves(connection.local.ip()));
        // With many targets this is asked often, and most have no connection: then no process is looked at.
        if found.iter().any(|connection| self.scope.is_inside(connection.remote.ip())) {
            let agents = self.agents()?;
            found.retain(|connection| !agents.contains(&connection.remote));
        }
        if found.is_empty() {
            return Ok(HashMap::new());
        }
        let wanted = found.iter().map(|connection| connection.inode).collect();
        let held = sockets::held_by(&self.cgroup.processes()?, &wanted);
        Ok(found.into_iter().filter_map(|one| Some((one.cookie, *held.get(&one.inode)?))).collect())
    }

    /// Where they are.
    pub(super) fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The agent's ends of its own connections to the application.
    fn agents(&self) -> anyhow::Result<HashSet<SocketAddr>> {
        // A process that is gone holds nothing.
        let processes = self.agents.iter().filter_map(|pid| Process::new(i32::try_from(*pid).ok()?).ok());
        let processes: Vec<_> = processes.collect();
        let connected = sockets::connected_to(&self.netns, self.port)?;
        let own = sockets::held_by(&processes, &connected.iter().map(|one| one.inode).collect());
        Ok(connected.into_iter().filter(|one| own.contains_key(&one.inode)).map(|one| one.local).collect())
    }
}
