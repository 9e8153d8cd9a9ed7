//! Everything that can be known before the first change. Finds every problem, changes nothing.

mod host;
mod listen;

use std::{collections::HashSet, sync::Arc};

use anyhow::Context as _;
use httpfault_common::{
    abi::MAX_ADDRESSES,
    contract::{CheckReport, InjectedTarget, Problem, RunSpec, TargetSelector},
};

use crate::{
    args::Sources,
    cgroup::Cgroup,
    datapath,
    netns::Netns,
    process::Process,
    scope::{AUTO, InterfaceAddress, Listening, Scope},
    sockets::{self, Listener},
    state,
    target::{self, Resolved},
};

/// A target that is ready to be injected.
#[derive(Debug)]
pub(crate) struct Target {
    /// As it was asked for.
    pub(crate) label: String,
    /// What it was found to be.
    pub(crate) found: String,
    pub(crate) source: &'static str,
    pub(crate) process: Process,
    /// The listening container's cgroup.
    pub(crate) cgroup: Cgroup,
    /// Cgroups of all containers of the task that share the namespace: where in-task clients are.
    pub(crate) client_cgroups: Vec<Cgroup>,
    pub(crate) netns: Arc<Netns>,
    /// Other sk_lookup programs of the namespace.
    pub(crate) lookups: Vec<String>,
    pub(crate) scope: Scope,
}

/// What the preflight found, target by target in the order they were named.
#[derive(Debug)]
pub(crate) struct Preflight {
    pub(crate) targets: Vec<Result<Target, Unready>>,
    /// Problems of the host, which stop every target.
    host: Vec<Problem>,
    pub(crate) warnings: Vec<String>,
}

/// A target that can't be injected.
#[derive(Clone, Debug)]
pub(crate) struct Unready {
    pub(crate) label: String,
    pub(crate) source: &'static str,
    pub(crate) problems: Vec<Problem>,
}

impl Unready {
    /// As a target of the run that failed; its first problem stands for all, which the warnings of `check` tell.
    pub(crate) fn report(&self) -> InjectedTarget {
        InjectedTarget {
            target: self.label.clone(),
            found: String::new(),
            source: self.source.into(),
            error: self.problems.first().cloned(),
        }
    }
}

/// Looks at the host and at every target.
pub(crate) async fn look(spec: &RunSpec, sources: &Sources) -> Preflight {
    let host = host::problems();
    let mut warnings = host::warnings();
    warnings.extend(spec.fault.missing_header().map(|header| header.warning("--response-header")));
    let mut preflight = Preflight { targets: Vec::new(), host, warnings };
    let mut seen = HashSet::new();
    for selector in &spec.targets {
        let (source, outcome) = match target::resolve(selector, sources).await {
            Err(problem) => ("none", Err(vec![problem])),
            Ok(resolved) => (resolved.source, ready(selector, &resolved, spec, &mut preflight.warnings)),
        };
        let label = selector.to_string();
        let outcome = outcome.and_then(|target| match seen.insert(target.netns.inode()) {
            true => Ok(target),
            false => Err(vec![Problem {
                subject: label.clone(),
                problem: format!("another target of this run has the same namespace and port {}", spec.port),
                next: "name it once".into(),
            }]),
        });
        preflight.targets.push(outcome.map_err(|problems| Unready { label, source, problems }));
    }
    preflight
}

impl Preflight {
    /// Whether at least one target can be injected.
    pub(crate) fn can_run(&self) -> bool {
        self.host.is_empty() && self.targets.iter().any(Result::is_ok)
    }

    /// The whole finding, for `check` and for a refusal.
    pub(crate) fn report(&self, spec: &RunSpec) -> CheckReport {
        let unready = self.targets.iter().filter_map(|target| target.as_ref().err());
        let problems: Vec<Problem> =
            self.host.iter().chain(unready.flat_map(|target| &target.problems)).cloned().collect();
        CheckReport {
            ready: problems.is_empty(),
            experiment_id: spec.experiment_id.clone(),
            problems,
            warnings: self.warnings.clone(),
            targets: self
                .targets
                .iter()
                .filter_map(|target| target.as_ref().ok())
                .map(Target::report)
                .collect(),
        }
    }
}

impl Target {
    pub(crate) fn report(&self) -> InjectedTarget {
        InjectedTarget {
            target: self.label.clone(),
            found: self.found.clone(),
            source: self.source.into(),
            error: None,
        }
    }
}

/// Proves that the target listens, and that everything it needs is free.
fn ready(
    selector: &TargetSelector,
    resolved: &Resolved,
    spec: &RunSpec,
    warnings: &mut Vec<String>,
) -> Result<Target, Vec<Problem>> {
    let one = |problem| vec![problem];
    let unreadable = |why: anyhow::Error| {
        one(Problem {
            subject: selector.to_string(),
            problem: format!("{why:#}"),
            next: "run `httpfault-agent check` again; if it stays, the target is going away".into(),
        })
    };
    let chosen = listen::choose(selector, resolved, spec.port).map_err(one)?;
    let netns = Arc::clone(&chosen.candidate.netns);
    let own = interface_addresses(&netns).map_err(unreadable)?;
    let foreign: Vec<Listening> = chosen.foreign.iter().map(Listening::at).collect();
    let scope = Scope::of(&chosen.listening, &foreign, &own, &spec.interface, spec.port);
    for listener in &chosen.foreign {
        let owner = sockets::owner_of(listener.inode).unwrap_or_else(|| "another process".into());
        let address = listener.address;
        warnings.push(format!("{selector}: {owner} listens on {address} beside it, and is left alone"));
    }
    let lookups = datapath::lookups(&netns);
    if !lookups.is_empty() {
        let names = lookups.join(", ");
        warnings.push(format!(
            "{selector}: its network namespace has other sk_lookup programs ({names}), which run before the fault's: \
             connections that they steer are not faulted"
        ));
    }

    let mut problems = Vec::new();
    problems.extend(interface_problem(&own, &scope, spec));
    match state::conflict(&netns, spec).map_err(unreadable)? {
        Some(conflict) => problems.push(conflict),
        // Otherwise the first fault's responder would be named a second time, as a process on PROXY_PORT.
        None => problems.extend(proxy_port_problem(&chosen.listeners, spec)),
    }
    if own.len() > MAX_ADDRESSES as usize {
        problems.push(Problem {
            subject: selector.to_string(),
            problem: format!(
                "its namespace has {} addresses, at most {MAX_ADDRESSES} are supported",
                own.len()
            ),
            next: "name another target".into(),
        });
    }
    let unified = chosen.candidate.cgroup.unified().map_err(|why| unreadable(why.into()))?;
    if unified.is_none() {
        warnings.push(format!(
            "{selector}: its container is in cgroup v1, so clients inside the task are not faulted; inbound ones are"
        ));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let neighbours = resolved.candidates.iter().filter(|candidate| candidate.netns.inode() == netns.inode());
    Ok(Target {
        label: selector.to_string(),
        found: chosen.candidate.found.clone(),
        source: resolved.source,
        process: chosen.candidate.process.clone(),
        cgroup: chosen.candidate.cgroup.clone(),
        client_cgroups: neighbours.map(|candidate| candidate.cgroup.clone()).collect(),
        netns: Arc::clone(&netns),
        lookups,
        scope,
    })
}

fn interface_addresses(netns: &Netns) -> anyhow::Result<Vec<InterfaceAddress>> {
    let listed =
        netns.run(|| nix::ifaddrs::getifaddrs().map(Iterator::collect::<Vec<_>>))?.context("getifaddrs")?;
    let address = |listed: nix::ifaddrs::InterfaceAddress| {
        let storage = listed.address?;
        let v4 = storage.as_sockaddr_in().map(|v4| v4.ip().into());
        let ip = v4.or_else(|| storage.as_sockaddr_in6().map(|v6| v6.ip().into()))?;
        Some(InterfaceAddress { interface: listed.interface_name, ip })
    };
    Ok(listed.into_iter().filter_map(address).collect())
}

fn interface_problem(own: &[InterfaceAddress], scope: &Scope, spec: &RunSpec) -> Option<Problem> {
    let subject = format!("NETWORK_INTERFACE {}", spec.interface);
    if spec.interface != AUTO && scope.interfaces.is_empty() {
        let mut known: Vec<&str> = own.iter().map(|address| address.interface.as_str()).collect();
        // Each interface comes once for every address.
        known.sort_unstable();
        known.dedup();
        return Some(Problem {
            subject,
            problem: format!(
                "the namespace has no such interface with an address; it has {}",
                known.join(", ")
            ),
            next: "name one of them, or auto".into(),
        });
    }
    scope.is_empty().then(|| Problem {
        subject,
        problem: format!("the target does not listen on port {} on any of its addresses", spec.port),
        next: "name the interface whose address the target listens on, or auto".into(),
    })
}

fn proxy_port_problem(listeners: &[Listener], spec: &RunSpec) -> Option<Problem> {
    let taken = listeners.iter().find(|listener| {
        let address = listener.address;
        address.port() == spec.proxy_port
            && (address.ip().is_unspecified() || address.ip().to_canonical().is_loopback())
    })?;
    Some(Problem {
        subject: format!("PROXY_PORT {}", spec.proxy_port),
        problem: format!(
            "{} listens on {} in the target's namespace",
            sockets::owner_of(taken.inode).unwrap_or_else(|| "an unknown process".into()),
            taken.address
        ),
        next: "choose a free port with --proxy-port".into(),
    })
}
