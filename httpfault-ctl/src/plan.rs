//! From wishes and facts to a plan. Pure: no I/O, no clock, randomness by a seed.

mod blast_radius;
mod choose;
mod cost;
mod delivery;
mod refuse;
mod renew;
#[cfg(test)]
mod tests;
mod windows;

use std::collections::{BTreeMap, BTreeSet};

use httpfault_common::contract::{ExperimentId, Problem, TargetSelector};
use serde::Serialize;

pub(crate) use blast_radius::{GuardReport, inquiry};
pub(crate) use cost::{ApiCalls, HOLD_STRIDE};
pub(crate) use delivery::DeliveryPlan;
pub(crate) use renew::Renewed;
pub(crate) use windows::{HostRun, Window};

use crate::{
    agents::AgentFile,
    fleet::{Fleet, InstanceId},
    tunables::{Architecture, Probe, RunSettings, Sequence, TaskChoice},
};

/// What will be done.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) experiment: ExperimentId,
    pub(crate) cluster: String,
    pub(crate) region: String,
    pub(crate) service: Option<String>,
    /// Of the choice of tasks.
    pub(crate) seed: u64,
    pub(crate) sequence: Sequence,
    pub(crate) status: u16,
    pub(crate) port: u16,
    pub(crate) duration_secs: u64,
    /// Number of running tasks that the chosen ones were drawn from.
    pub(crate) population: usize,
    pub(crate) tasks: Vec<PlannedTask>,
    /// One after the other; `parallel` has one.
    pub(crate) windows: Vec<Window>,
    pub(crate) agents: BTreeMap<Architecture, AgentFile>,
    pub(crate) calls: ApiCalls,
    /// For hosts that lack the agent.
    pub(crate) delivery: DeliveryPlan,
    /// RAMP_TIME twice and every window; what SSM takes comes on top.
    pub(crate) wall_secs: u64,
    pub(crate) warnings: Vec<String>,
    /// Guards of the blast radius that it keeps to.
    pub(crate) guards: Vec<GuardReport>,
    /// What is asked of the steady state, in words.
    pub(crate) probes: Vec<String>,
    /// Why it needs a confirmation.
    pub(crate) danger: Option<String>,
}

/// A task that will be faulted.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PlannedTask {
    pub(crate) task: String,
    pub(crate) arn: String,
    pub(crate) container: Option<String>,
    pub(crate) runtime_id: Option<String>,
    pub(crate) instance: InstanceId,
    pub(crate) architecture: Architecture,
    #[serde(skip)]
    pub(crate) group: String,
    #[serde(skip)]
    pub(crate) selector: TargetSelector,
}

/// Makes the plan, or names every reason against it.
pub(crate) fn make(
    settings: &RunSettings,
    fleet: &Fleet,
    agents: &BTreeMap<Architecture, AgentFile>,
    experiment: ExperimentId,
    seed: u64,
) -> Result<Plan, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut warnings: Vec<String> = fleet.lacking.iter().map(|right| right.without()).collect();

    let candidates = choose::candidates(settings, fleet, &mut problems, &mut warnings);
    let population = candidates.len();
    let chosen = choose::sample(candidates, &settings.choice, settings.affected, seed);
    problems.extend(blast_radius::judge(&chosen, &settings.guards, fleet));
    problems.extend(refuse::hosts(&chosen, fleet));
    let tasks: Vec<PlannedTask> =
        chosen.iter().filter_map(|task| choose::planned(task, settings, fleet, &mut problems)).collect();
    problems.extend(refuse::agents(&tasks, agents, settings));
    let windows = windows::of(&tasks, settings, &experiment);
    problems.extend(refuse::windows(&windows));
    if !problems.is_empty() {
        return Err(problems);
    }

    let wanted: BTreeSet<Architecture> = tasks.iter().map(|task| task.architecture).collect();
    let agents = agents.iter().filter(|(a, _)| wanted.contains(a)).map(|(a, f)| (*a, f.clone())).collect();
    let duration_secs = settings.template.duration_secs;
    let (delivery, better) = delivery::plan(settings, &agents, &windows);
    warnings.extend(better);
    let calls = cost::api_calls(fleet, &windows, &agents, &delivery, duration_secs, settings.access.poll);
    Ok(Plan {
        experiment,
        cluster: settings.cluster.clone(),
        region: settings.access.region.clone(),
        service: match &settings.choice {
            TaskChoice::Service(service) => Some(service.clone()),
            TaskChoice::Tasks(_) | TaskChoice::AllTasks => None,
        },
        seed,
        sequence: settings.sequence,
        status: settings.template.fault.status,
        port: settings.template.port,
        duration_secs,
        population,
        guards: blast_radius::reports(&settings.guards),
        probes: settings.probes.iter().map(Probe::to_string).collect(),
        danger: blast_radius::danger(settings, fleet, &chosen),
        wall_secs: 2 * settings.ramp.as_secs() + duration_secs * windows.len() as u64,
        tasks,
        windows,
        agents,
        calls,
        delivery,
        warnings,
    })
}
