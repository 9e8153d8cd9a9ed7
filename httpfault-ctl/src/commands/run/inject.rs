//! Delivery, and the command that is the fault.

use std::{collections::BTreeMap, time::Duration};

use anyhow::bail;
use httpfault_common::contract::Problem;
use jiff::Timestamp;

use super::live::Live;
use crate::{
    aws::{Action, scripts},
    console::Console,
    tunables::RunSettings,
};

/// What the agent may take beyond the duration: to start, and to finish open connections at the end.
const MARGIN: Duration = Duration::from_secs(45);
/// A command that reaches a host later than this does nothing; clocks may differ by most of it.
const LATEST_START_SECS: i64 = 300;

/// Makes sure that every host of the plan has its agent. A host that can't be given it fails alone.
pub(super) async fn deliver(
    live: &mut Live,
    settings: &RunSettings,
    console: &Console,
) -> anyhow::Result<()> {
    let runs = live.plan.windows.iter().flat_map(|window| &window.runs);
    let hosts: BTreeMap<_, _> = runs.map(|run| (run.instance.clone(), run.architecture)).collect();
    let say = |line: String| console.say(&line);
    let experiment = live.experiment();
    let delivered =
        live.cloud.deliver(&experiment, &hosts, &live.plan.agents, &settings.agents, &say).await?;
    for window in live.plan.windows.clone() {
        for run in &window.runs {
            if let Some(Some(problem)) = delivered.get(&run.instance) {
                live.unready.insert(run.instance.clone());
                live.fail_host(run, problem);
            }
        }
    }
    if live.unready.len() == hosts.len() {
        let mut problems: Vec<&Problem> = delivered.values().flatten().collect();
        problems.dedup();
        let lines: String = problems.iter().map(|problem| format!("\n  {problem}")).collect();
        bail!("no host has the agent, nothing was put on:{lines}");
    }
    Ok(())
}

/// Sends the fault of a window: one foreground command for up to 50 hosts.
pub(super) async fn inject(live: &mut Live, window: usize) -> anyhow::Result<()> {
    let runs = live.ready_runs(window);
    let sums: Vec<_> = runs
        .iter()
        .filter_map(|run| Some((run, live.plan.agents.get(&run.architecture)?.sha256.as_str())))
        .collect();
    let not_after = Timestamp::now().as_second() + LATEST_START_SECS;
    let execution = Duration::from_secs(live.plan.duration_secs) + MARGIN;
    let experiment = live.experiment();
    let batches = scripts::inject(&sums, not_after)?;
    let Some(ledger) = live.ledger.get_mut(window) else { return Ok(()) };
    for batch in batches {
        let (script, hosts) = (&batch.script, &batch.instances);
        live.cloud.send(Action::Inject, Some(&experiment), script, hosts, execution, ledger).await?;
    }
    Ok(())
}
