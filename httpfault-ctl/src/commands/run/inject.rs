//! Delivery, and the command that is the fault.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, bail};
use httpfault_common::contract::Problem;
use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    desk::Desk,
    live::{Live, LiveWindow},
};
use crate::{
    aws::{Action, scripts},
    console::Console,
    plan::HostRun,
    tunables::RunSettings,
};

/// What the agent may take beyond the duration: to start, and to finish open connections at the end.
const MARGIN: Duration = Duration::from_secs(45);

/// Makes sure that every host of the plan has its agent. A host that can't be given it fails alone.
pub(super) async fn deliver(
    live: &mut Live,
    settings: &RunSettings,
    console: &Console,
) -> anyhow::Result<()> {
    let Live { desk, windows, .. } = live;
    let runs: Vec<&HostRun> = windows.iter().flat_map(|window| &window.runs).collect();
    let problems = deliver_to(desk, &runs, settings, console).await?;
    if desk.ready.is_empty() {
        let lines: String = problems.iter().map(|problem| format!("\n  {problem}")).collect();
        bail!("no host has the agent, nothing was put on:{lines}");
    }
    Ok(())
}

/// The same for some hosts. The result is what went wrong, each reason once.
pub(super) async fn deliver_to(
    desk: &mut Desk,
    runs: &[&HostRun],
    settings: &RunSettings,
    console: &Console,
) -> anyhow::Result<Vec<Problem>> {
    let hosts: BTreeMap<_, _> = runs.iter().map(|run| (run.instance.clone(), run.architecture)).collect();
    let say = |line: String| console.say(&line);
    let experiment = desk.experiment();
    let delivered =
        desk.cloud.deliver(&experiment, &hosts, &desk.plan.agents, &settings.agents, &say).await?;
    let mut problems: Vec<Problem> = Vec::new();
    for (host, outcome) in delivered {
        let Err(problem) = outcome else {
            desk.ready.insert(host);
            continue;
        };
        runs.iter().filter(|run| run.instance == host).for_each(|run| desk.fail_host(run, &problem));
        desk.unready.insert(host);
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    Ok(problems)
}

/// Sends the fault of a window: one foreground command for up to 50 hosts.
pub(super) async fn inject(
    desk: &mut Desk,
    window: &mut LiveWindow,
    console: &Console,
) -> anyhow::Result<()> {
    let mut told = Vec::new();
    for run in window.runs.iter().filter(|run| desk.is_ready(&run.instance)) {
        let agent = desk.plan.agents.get(&run.architecture);
        let agent = agent.with_context(|| format!("the plan has no agent for {}", run.architecture))?;
        told.push((run, agent.sha256.as_str()));
    }
    let not_after = Timestamp::now().as_second() + scripts::LATEST_START_SECS;
    let execution = Duration::from_secs(desk.plan.duration_secs) + MARGIN;
    let experiment = desk.experiment();
    let batches = scripts::inject(&told, not_after)?;
    // The log of a pod that is killed has it.
    console.say(&format!(
        "if this program dies, the fault ends at its deadline, or with: {}",
        desk.report.recover_with
    ));
    window.begun = Some(Instant::now());
    for batch in batches {
        let (script, hosts, ledger) = (&batch.script, &batch.instances, &mut window.sent);
        let gone =
            desk.cloud.send(Action::Inject, Some(&experiment), script, hosts, execution, ledger).await?;
        gone.iter().for_each(|(host, why)| desk.host_gone(host, why));
    }
    Ok(())
}
