//! From a name to a target: containers, their processes, cgroups and namespace.
//!
//! Sources are asked in a fixed order and the first that answers wins; the report names it.

mod docker;
mod ecs;
mod metadata;
mod http;
mod proc;

#[cfg(test)]
mod hostile;

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use httpfault_common::contract::{Problem, TargetSelector};

use crate::{args::Sources, cgroup::Cgroup, netns::Netns, process::Process};

/// A container, as far as a source knew it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    /// Full Docker id.
    pub(crate) id: String,
    /// Name in the task definition, else the Docker name.
    pub(crate) name: String,
    /// ARN of the ECS task that it is said to be of.
    pub(crate) task: Option<String>,
}

/// A container or process on this host.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// For people: `container web (0123456789ab)`.
    pub(crate) found: String,
    /// Name in the task definition; what --container-name is compared with.
    pub(crate) name: String,
    /// A process of it, by which its namespace is found and its end is noticed.
    pub(crate) process: Process,
    pub(crate) cgroup: Cgroup,
    pub(crate) netns: Arc<Netns>,
}

/// What a selector was found to mean, before it is known who listens.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    /// introspection, metadata file, docker, proc.
    pub(crate) source: &'static str,
    /// The containers of the task, or the one container or process.
    pub(crate) candidates: Vec<Candidate>,
}

/// Finds what a selector means.
pub(crate) async fn resolve(selector: &TargetSelector, sources: &Sources) -> Result<Resolved, Problem> {
    let problem =
        |problem: String, next: &str| Problem { subject: selector.to_string(), problem, next: next.into() };
    let (source, containers) = match selector {
        TargetSelector::Pid { pid } => {
            let candidate = candidate(*pid, None, crate::sockets::name_of(*pid), String::new())
                .map_err(|why| problem(format!("{why:#}"), "name a running process"))?;
            return Ok(Resolved { source: "proc", candidates: vec![candidate] });
        }
        TargetSelector::Container { id } => docker::container(&sources.docker_socket, id)
            .await
            .map(|found| ("docker", vec![found]))
            .or_else(|engine| proc::container(id).map(|found| ("proc", vec![found])).map_err(|_none| engine))
            .map_err(|why| {
                problem(format!("{why:#}"), "look it up with `docker ps`, and name a running container")
            })?,
        TargetSelector::Task { id, .. } => ecs::containers(id, sources).await.map_err(|why| {
            problem(format!("{why:#}"), "check the task id, and that the task runs on this host")
        })?,
    };
    let mut candidates = Vec::new();
    let mut misses = Vec::new();
    for container in containers {
        let located = locate(&container, sources).await;
        match located {
            Ok(candidate) => candidates.push(candidate),
            Err(why) => misses.push(format!("container {}: {why:#}", container.name)),
        }
    }
    if candidates.is_empty() {
        let none =
            format!("{source} knows it, but no process here is proved to be of it ({})", misses.join("; "));
        return Err(problem(none, "wait until it runs, or name another target"));
    }
    Ok(Resolved { source, candidates })
}

/// A container's process: Docker knows it, else the cgroup tree does.
///
/// Any process on the host can answer in the ECS agent's place while that is down, and a container writes its own
/// metadata file. So what is said of a container's task is believed only if a second source says the same: Docker, or
/// the cgroup that the ECS agent made.
async fn locate(container: &Container, sources: &Sources) -> anyhow::Result<Candidate> {
    let (pid, labelled) = match docker::known(&sources.docker_socket, &container.id).await {
        Ok(known) => (known.pid, Some(known.task)),
        Err(engine) => (proc::pid(&container.id).map_err(|why| engine.context(format!("{why:#}")))?, None),
    };
    let short = container.id.get(..12).unwrap_or(&container.id);
    let found = format!("container {} ({short})", container.name);
    let candidate = candidate(pid, Some(&container.id), found, container.name.clone())?;
    let Some(task) = &container.task else { return Ok(candidate) };
    match labelled {
        Some(labelled) => ensure!(
            labelled.as_ref() == Some(task),
            "it is said to be of {task}, but Docker says {}",
            labelled.as_deref().unwrap_or("that it is of no task")
        ),
        None => ensure!(
            task.rsplit('/').next().is_some_and(|id| candidate.cgroup.mentions(id)),
            "it is said to be of {task}, but its cgroup is not, and Docker can't be asked"
        ),
    }
    Ok(candidate)
}

fn candidate(pid: u32, container: Option<&str>, found: String, name: String) -> anyhow::Result<Candidate> {
    let process = Process::open(pid)?;
    let netns =
        Netns::of_process(pid).with_context(|| format!("process {pid}: opening its network namespace"))?;
    let cgroup = Cgroup::of_process(pid, container)?.ok_or_else(|| {
        anyhow::anyhow!(
            "process {pid} is in the root cgroup, where nothing sets it apart from the host's processes"
        )
    })?;
    process.prove()?;
    Ok(Candidate { found, name, process, cgroup, netns: Arc::new(netns) })
}
