//! Windows of time and what each host is told in them.

use std::collections::BTreeMap;

use httpfault_common::contract::{ExperimentId, RunSpec};

use super::PlannedTask;
use crate::{
    fleet::InstanceId,
    tunables::{Architecture, RunSettings, Sequence},
};

/// One stretch of TOTAL_CHAOS_DURATION.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    pub(crate) runs: Vec<HostRun>,
}

/// One agent process: everything on one host in one window.
#[derive(Clone, Debug)]
pub(crate) struct HostRun {
    pub(crate) instance: InstanceId,
    pub(crate) architecture: Architecture,
    pub(crate) spec: RunSpec,
    /// Positions in `Plan::tasks`, in the order of the spec's targets.
    pub(crate) tasks: Vec<usize>,
}

/// `parallel`: one window with one agent per host. `serial`: a window per task.
pub(super) fn of(tasks: &[PlannedTask], settings: &RunSettings, experiment: &ExperimentId) -> Vec<Window> {
    let groups: Vec<Vec<usize>> = match settings.sequence {
        Sequence::Parallel => vec![(0..tasks.len()).collect()],
        Sequence::Serial => (0..tasks.len()).map(|index| vec![index]).collect(),
    };
    groups.into_iter().map(|group| window(&group, tasks, settings, experiment)).collect()
}

/// One window with these tasks.
pub(super) fn window(
    group: &[usize],
    tasks: &[PlannedTask],
    settings: &RunSettings,
    experiment: &ExperimentId,
) -> Window {
    let mut by_host: BTreeMap<&InstanceId, Vec<usize>> = BTreeMap::new();
    for index in group {
        if let Some(task) = tasks.get(*index) {
            by_host.entry(&task.instance).or_default().push(*index);
        }
    }
    let run = |(instance, indexes): (&InstanceId, Vec<usize>)| {
        let here: Vec<&PlannedTask> = indexes.iter().filter_map(|index| tasks.get(*index)).collect();
        let spec = RunSpec {
            experiment_id: experiment.clone(),
            targets: here.iter().map(|task| task.selector.clone()).collect(),
            ..settings.template.clone()
        };
        let architecture = here.first()?.architecture;
        Some(HostRun { instance: instance.clone(), architecture, spec, tasks: indexes })
    };
    Window { runs: by_host.into_iter().filter_map(run).collect() }
}
