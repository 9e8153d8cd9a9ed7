//! A last look before a window: tasks and hosts come and go between the plan and the fault.

use anyhow::bail;

use super::{desk::Desk, inject::deliver_to, live::LiveWindow};
use crate::{
    console::Console,
    error::{CtlError, Refusals},
    plan::{self, HostRun, Renewed},
    report::{Replacement, TaskOutcome, TaskReport},
    tunables::RunSettings,
};

/// Leaves out the tasks that are gone, and takes others of the same service in their place.
pub(super) async fn look_again(
    desk: &mut Desk,
    window: &mut LiveWindow,
    settings: &RunSettings,
    console: &Console,
) -> anyhow::Result<()> {
    let planned: Vec<String> = window
        .runs
        .iter()
        .flat_map(|run| &run.tasks)
        .filter_map(|index| desk.plan.tasks.get(*index))
        .map(|task| task.arn.clone())
        .collect();
    let seen = desk.cloud.tasks(&desk.plan.cluster, &planned).await;
    let tasks = match seen {
        Err(error) if error.is_passing() => {
            desk.warn(format!("the tasks could not be looked at again before the fault: {error}"));
            return Ok(());
        }
        seen => seen?,
    };
    if window.runs.iter().all(|run| desk.plan.still_fits(run, &tasks)) {
        return Ok(());
    }
    let fleet = desk.cloud.fleet(&desk.plan.cluster, &plan::inquiry(settings)).await?;
    let Renewed { runs, changes, problems } = desk.plan.renew(&window.runs, &fleet, settings);
    desk.report.tasks.extend(desk.plan.tasks.iter().skip(desk.report.tasks.len()).map(TaskReport::of));
    for (index, change) in changes {
        let Some(task) = desk.report.tasks.get_mut(index) else { continue };
        task.outcome = match change.instead {
            Some(_) => TaskOutcome::Replaced,
            None => TaskOutcome::TargetGone,
        };
        task.replaced_by = change.instead.iter().map(Replacement::of).collect();
        let by = change.instead.map_or_else(
            || "none is taken instead".to_owned(),
            |new| format!("task {} is taken instead", new.id),
        );
        let warning = format!("task {} went away before the fault ({}); {by}", task.task, change.why);
        console.warn(&warning);
        desk.warn(warning);
    }
    if !problems.is_empty() {
        bail!(CtlError::Refused(Refusals(problems)));
    }
    window.runs = runs;
    let new: Vec<&HostRun> = window.runs.iter().filter(|run| desk.is_new(&run.instance)).collect();
    if !new.is_empty() {
        deliver_to(desk, &new, settings, console).await?;
    }
    Ok(())
}
