//! A plan that meets its tasks again: what is gone, and what is taken instead.

use std::collections::BTreeSet;

use httpfault_common::contract::Problem;

use super::{HostRun, Plan, PlannedTask, blast_radius, choose, refuse, windows};
use crate::{
    fleet::{Fleet, Task},
    tunables::{RunSettings, TaskChoice},
};

/// A window's part of the plan, as it is now.
pub(crate) struct Renewed {
    pub(crate) runs: Vec<HostRun>,
    /// By position in `Plan::tasks`.
    pub(crate) changes: Vec<(usize, Change)>,
    /// Guards that no longer hold.
    pub(crate) problems: Vec<Problem>,
}

/// A task that is gone.
pub(crate) struct Change {
    pub(crate) why: String,
    /// The task in its place.
    pub(crate) instead: Option<Task>,
}

impl Plan {
    /// Whether all tasks of a host still run as they were planned.
    pub(crate) fn still_fits(&self, run: &HostRun, now: &[Task]) -> bool {
        let planned = run.tasks.iter().filter_map(|index| self.tasks.get(*index));
        { planned }.all(|planned| {
            let task = now.iter().find(|task| task.id == planned.task);
            task.is_some_and(|task| {
                let mut containers = task.containers.iter();
                let same = planned.runtime_id.is_none()
                    || containers.any(|container| container.runtime_id == planned.runtime_id);
                task.is_running() && same
            })
        })
    }

    /// Looks for the window's tasks in a fleet of now. A container that was started again is found under its new id; a
    /// task that is gone is replaced by one that is not in the plan yet, where a share was asked for and not tasks by
    /// name.
    pub(crate) fn renew(&mut self, runs: &[HostRun], fleet: &Fleet, settings: &RunSettings) -> Renewed {
        let mut group = Vec::new();
        let mut changes = Vec::new();
        let mut others = self.newcomers(fleet, settings);
        for index in runs.iter().flat_map(|run| run.tasks.iter().copied()) {
            let Some(planned) = self.tasks.get_mut(index) else { continue };
            let task = fleet.tasks.iter().find(|task| task.id == planned.task);
            let again = task
                .filter(|task| task.is_running())
                .and_then(|task| choose::planned(task, settings, fleet, &mut Vec::new()));
            if let Some(again) = again.filter(|again| again.instance == planned.instance) {
                *planned = again;
                group.push(index);
                continue;
            }
            let why =
                task.map_or_else(|| "ECS no longer knows it".to_owned(), |task| task.last_status.clone());
            let new = others.pop();
            let instead = new.as_ref().and_then(|new| fleet.tasks.iter().find(|task| task.id == new.task));
            changes.push((index, Change { why, instead: instead.cloned() }));
            if let Some(new) = new {
                group.push(self.tasks.len());
                self.tasks.push(new);
            }
        }
        group.sort_unstable();
        // A service that has shrunk meanwhile may not be taken whole for it.
        let taken: BTreeSet<&str> =
            group.iter().filter_map(|index| self.tasks.get(*index)).map(|task| task.task.as_str()).collect();
        let chosen: Vec<&Task> = fleet.tasks.iter().filter(|task| taken.contains(task.id.as_str())).collect();
        let problems = blast_radius::judge(&chosen, &settings.guards, fleet);
        let window = windows::window(&group, &self.tasks, settings, &self.experiment);
        Renewed { runs: window.runs, changes, problems }
    }

    /// Tasks that could be taken, in the order of a draw with the plan's seed; the last one first.
    fn newcomers(&self, fleet: &Fleet, settings: &RunSettings) -> Vec<PlannedTask> {
        if matches!(settings.choice, TaskChoice::Tasks(_)) {
            return Vec::new();
        }
        let known: BTreeSet<&str> = self.tasks.iter().map(|task| task.task.as_str()).collect();
        let mut fit = choose::candidates(settings, fleet, &mut Vec::new(), &mut Vec::new());
        fit.retain(|task| {
            let new = !known.contains(task.id.as_str());
            let allowed = blast_radius::has_all_tags(task, &settings.guards, fleet);
            new && allowed && refuse::hosts(&[task], fleet).is_empty()
        });
        fastrand::Rng::with_seed(self.seed).shuffle(&mut fit);
        let planned =
            fit.into_iter().filter_map(|task| choose::planned(task, settings, fleet, &mut Vec::new()));
        { planned }.filter(|task| self.agents.contains_key(&task.architecture)).collect()
    }
}
