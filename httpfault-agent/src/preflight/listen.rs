//! Who listens on the port: the proof that a fault there concerns the target and nobody else.

use std::collections::{HashMap, HashSet};

use anyhow::Context as _;
use httpfault_common::contract::{Problem, TargetSelector};
use procfs::process::Process;

use crate::{
    scope::Listening,
    sockets::{self, Held, Listener},
    target::{Candidate, Resolved},
};

/// The container that listens, and where.
pub(super) struct Chosen<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) listening: Vec<Listening>,
    /// Others on the same port of its namespace.
    pub(super) foreign: Vec<Listener>,
    /// Every listener of its namespace.
    pub(super) listeners: Vec<Listener>,
}

/// One candidate with the sockets of its namespace.
struct Inspected<'a> {
    candidate: &'a Candidate,
    listeners: Vec<Listener>,
    processes: Vec<Process>,
    /// Its own of the listeners on the port.
    held: HashMap<u64, Held>,
}

/// Picks the one candidate that listens on the port.
pub(super) fn choose<'a>(
    selector: &TargetSelector,
    resolved: &'a Resolved,
    port: u16,
) -> Result<Chosen<'a>, Problem> {
    let problem =
        |problem: String, next: &str| Problem { subject: selector.to_string(), problem, next: next.into() };
    let unreadable =
        |why: anyhow::Error| problem(format!("{why:#}"), "the target may be going away; look again");

    let wanted = match selector {
        TargetSelector::Task { container, .. } => container.as_deref(),
        TargetSelector::Container { .. } | TargetSelector::Pid { .. } => None,
    };
    let named =
        resolved.candidates.iter().filter(|candidate| wanted.is_none_or(|name| candidate.name == name));
    let inspected: Vec<Inspected<'_>> =
        named.map(|candidate| inspect(candidate, port)).collect::<Result<_, _>>().map_err(unreadable)?;
    if inspected.is_empty() {
        let names: Vec<&str> = resolved.candidates.iter().map(|candidate| candidate.name.as_str()).collect();
        let none =
            format!("it has no container {:?}; it has {}", wanted.unwrap_or_default(), names.join(", "));
        return Err(problem(none, "name one of them with --container-name"));
    }
    let mut listening = inspected.iter().filter(|inspected| inspected.on(port).next().is_some());
    let Some(chosen) = listening.next() else {
        return Err(match inspected.iter().find_map(|inspected| inspected.foreign(port)) {
            Some(owner) => problem(
                format!("port {port} in its network namespace belongs to {owner}, not to it"),
                "name the container that listens there",
            ),
            None => problem(
                format!("nothing of it listens on port {port}; {}", summary(&inspected)),
                "name the port that the service listens on inside the container (--port, TARGET_SERVICE_PORT)",
            ),
        });
    };
    if let Some(other) = listening.next() {
        let names = format!("{} and {}", chosen.candidate.found, other.candidate.found);
        return Err(problem(
            format!("two of its containers listen on port {port}: {names}"),
            "name one with --container-name",
        ));
    }
    let ours: Vec<&Listener> = chosen.on(port).collect();
    let foreign: Vec<&Listener> = chosen
        .listeners
        .iter()
        .filter(|other| other.address.port() == port && !chosen.held.contains_key(&other.inode))
        .collect();
    let same_address = |other: &&&Listener| ours.iter().any(|listener| listener.address == other.address);
    if let Some(shared) = foreign.iter().find(same_address) {
        let owner = sockets::owner_of(shared.inode).unwrap_or_else(|| "another process".into());
        return Err(problem(
            format!(
                "it shares {} with {owner} (SO_REUSEPORT), and the two can't be told apart",
                shared.address
            ),
            "stop the other process",
        ));
    }
    Ok(Chosen {
        candidate: chosen.candidate,
        listening: ours.into_iter().map(Listening::at).collect(),
        foreign: foreign.into_iter().cloned().collect(),
        listeners: chosen.listeners.clone(),
    })
}

fn inspect(candidate: &Candidate, port: u16) -> anyhow::Result<Inspected<'_>> {
    let listeners = sockets::listeners(&candidate.netns)?;
    let processes = candidate
        .cgroup
        .processes()
        .with_context(|| format!("listing the processes of {}", candidate.found))?;
    let on_port = listeners.iter().filter(|listener| listener.address.port() == port);
    let held = sockets::held_by(&processes, &on_port.map(|listener| listener.inode).collect());
    Ok(Inspected { candidate, listeners, processes, held })
}

impl Inspected<'_> {
    /// Its own listeners on a port.
    fn on(&self, port: u16) -> impl Iterator<Item = &Listener> {
        let ours = move |listener: &&Listener| {
            listener.address.port() == port && self.held.contains_key(&listener.inode)
        };
        self.listeners.iter().filter(ours)
    }

    /// Who else listens on a port of its namespace.
    fn foreign(&self, port: u16) -> Option<String> {
        let listener = self.listeners.iter().find(|listener| listener.address.port() == port)?;
        Some(sockets::owner_of(listener.inode).unwrap_or_else(|| "a process that could not be found".into()))
    }
}

/// What listens where, for an error: `web listens on 0.0.0.0:8080`.
fn summary(inspected: &[Inspected<'_>]) -> String {
    let all: Vec<String> = inspected
        .iter()
        .map(|inspected| {
            let all = inspected.listeners.iter();
            let held = sockets::held_by(
                &inspected.processes,
                &all.clone().map(|listener| listener.inode).collect::<HashSet<_>>(),
            );
            let own = all.filter(|listener| held.contains_key(&listener.inode));
            let addresses: Vec<String> = own.map(|listener| listener.address.to_string()).collect();
            match addresses.is_empty() {
                true => format!("{} listens nowhere", inspected.candidate.found),
                false => format!("{} listens on {}", inspected.candidate.found, addresses.join(", ")),
            }
        })
        .collect();
    all.join("; ")
}
