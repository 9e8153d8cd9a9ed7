//! Proof by a second command, before anything is said to be on or off.

use std::collections::{BTreeMap, BTreeSet};

use httpfault_common::contract::{FaultStatus, Problem};
use tokio::time::Instant;

use super::live::Live;
use crate::{
    aws::{Action, Answer, ApiError, scripts},
    console::Console,
    fleet::InstanceId,
    plan::HostRun,
    report::{TaskOutcome, TaskReport},
    verify::{self, Steering},
};

/// Waits until every host shows the fault on, has ended its command, or has had long enough.
pub(super) async fn on(live: &mut Live, window: usize, console: &Console) -> anyhow::Result<()> {
    let mut pending: BTreeMap<InstanceId, HostRun> =
        live.ready_runs(window).into_iter().map(|run| (run.instance.clone(), run)).collect();
    let all = pending.len();
    let give_up = Instant::now() + live.cloud.answer_within();
    let mut proved = 0;
    let mut looks = 0;
    while !pending.is_empty() {
        live.cloud.pause(looks).await;
        looks += 1;
        for sent in live.sent_in(window) {
            let states = tolerate(live.cloud.look(&sent).await, console)?.unwrap_or_default();
            // What has ended is read with its output, after the hold.
            pending.retain(|host, _| !states.get(host).is_some_and(crate::aws::State::is_final));
        }
        let hosts: Vec<InstanceId> = pending.keys().cloned().collect();
        let experiment = live.experiment();
        let script = scripts::status(Some(&experiment));
        let asked = live.cloud.ask(Action::Status, Some(&experiment), &script, &hosts).await;
        for answer in tolerate(asked, console)?.unwrap_or_default() {
            let Some(report) = verify::status(&answer.stdout) else { continue };
            if let Steering::On(status) = verify::steering(&report, &experiment)
                && let Some(run) = pending.remove(&answer.instance)
            {
                proved += 1;
                seen_on(live, &run, &status);
            }
        }
        if Instant::now() >= give_up {
            break;
        }
    }
    for host in pending.keys() {
        live.warn(format!("instance {host}: the fault was not seen on by a second command"));
    }
    if proved > 0 {
        console.say(&format!("injected on {proved} of {all} host(s), proved by a second command"));
    }
    Ok(())
}

fn seen_on(live: &mut Live, run: &HostRun, status: &FaultStatus) {
    for (target, task) in live.tasks_of(run) {
        let own = status.targets.iter().find(|report| report.target == target);
        if own.is_some_and(|report| report.error.is_some()) {
            continue;
        }
        task.injected_at = status.injected_at;
        task.verified_on = true;
    }
}

/// Asks every host of a window whether the fault is gone, removes it where it is not, and asks again.
pub(super) async fn off(live: &mut Live, window: usize, console: &Console) -> anyhow::Result<()> {
    let hosts: BTreeSet<InstanceId> =
        live.sent_in(window).into_iter().flat_map(|sent| sent.instances).collect();
    prove_off(live, hosts, console).await?;
    Ok(())
}

/// Every host is either seen free of the fault or noted as left behind.
pub(super) async fn prove_off(
    live: &mut Live,
    hosts: BTreeSet<InstanceId>,
    console: &Console,
) -> Result<(), ApiError> {
    let (unclear, on) = still_on(live, hosts).await?;
    let mut failed = unclear;
    if !on.is_empty() {
        console.warn(&format!("the fault is still on at {} host(s); removing it", on.len()));
        let experiment = live.experiment();
        let list: Vec<InstanceId> = on.iter().cloned().collect();
        live.cloud.ask(Action::Remove, Some(&experiment), &scripts::remove(Some(&experiment)), &list).await?;
        let (unclear, on) = still_on(live, on).await?;
        failed.extend(unclear);
        failed.extend(
            on.into_iter().map(|host| (host, "status still shows the fault after remove".to_owned())),
        );
    }
    for (host, why) in failed {
        if ended_by_itself(live, &host) {
            live.warn(format!(
                "instance {host}: its agent reported the end, a second look was not possible ({why})"
            ));
        } else {
            live.left_on(&host, format!("{why}; its agent ends the fault by itself at the deadline"));
        }
    }
    Ok(())
}

type Unclear = BTreeMap<InstanceId, String>;

/// Hosts that can't tell, and hosts where the fault is on. The others are marked as seen off.
async fn still_on(
    live: &mut Live,
    hosts: BTreeSet<InstanceId>,
) -> Result<(Unclear, BTreeSet<InstanceId>), ApiError> {
    let experiment = live.experiment();
    let asked = live.cloud.reachable(hosts).await?;
    let mut unclear: Unclear = asked.silent.into_iter().collect();
    let mut on = BTreeSet::new();
    let script = scripts::status(Some(&experiment));
    for answer in live.cloud.ask(Action::Status, Some(&experiment), &script, &asked.online).await? {
        match verify::status(&answer.stdout).filter(|_| answer.succeeded()) {
            None => drop(unclear.insert(answer.instance.clone(), answer.failure())),
            Some(report) if verify::steering(&report, &experiment) == Steering::Off => {
                seen_off(live, &answer)
            }
            Some(_) => drop(on.insert(answer.instance)),
        }
    }
    Ok((unclear, on))
}

fn seen_off(live: &mut Live, answer: &Answer) {
    let host = answer.instance.as_str();
    let tried = |outcome: TaskOutcome| outcome != TaskOutcome::NotTried;
    for task in live.report.tasks.iter_mut().filter(|task| task.instance == host) {
        task.verified_off = tried(task.outcome) || task.injected_at.is_some();
    }
}

/// Whether the agent itself reported the end of everything on this host.
fn ended_by_itself(live: &Live, host: &InstanceId) -> bool {
    let mut here = live.report.tasks.iter().filter(|task| task.instance == host.as_str()).peekable();
    let never_on = |task: &TaskReport| task.outcome == TaskOutcome::Failed && task.injected_at.is_none();
    here.peek().is_some() && here.all(|task| task.removed_at.is_some() || never_on(task))
}

/// Names the tasks that a service started in place of those that went away. It is only an explanation: when it can't
/// be had, the run is none the worse.
pub(super) async fn replacements(live: &mut Live) {
    let since = live.report.started_at.as_second();
    let gone: Vec<usize> = (0..live.report.tasks.len())
        .filter(|index| {
            live.report.tasks.get(*index).is_some_and(|task| task.outcome == TaskOutcome::TargetGone)
        })
        .collect();
    for index in gone {
        let Some(group) = live.plan.tasks.get(index).map(|task| task.group.clone()) else { continue };
        let newer = live.cloud.newer_tasks(&live.plan.cluster, &group, since).await.unwrap_or_default();
        let known: BTreeSet<String> = live.plan.tasks.iter().map(|task| task.task.clone()).collect();
        let newer: Vec<String> = newer.into_iter().filter(|task| !known.contains(task)).collect();
        if let Some(task) = live.report.tasks.get_mut(index) {
            let by = if newer.is_empty() { "no other yet".to_owned() } else { newer.join(", ") };
            let warning =
                format!("task {} went away while the fault was on; its service started {by}", task.task);
            task.replaced_by = newer;
            live.warn(warning);
        }
    }
}

/// A look that failed for lack of rate or network says nothing about the fault.
pub(super) fn tolerate<T>(result: Result<T, ApiError>, console: &Console) -> Result<Option<T>, ApiError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_throttled() || error.maybe_carried_out() => {
            console.warn(&format!("{error}; the fault is not touched, looking again"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// For hosts that answered nothing at all.
pub(super) fn silent(host: &InstanceId, why: &str) -> Problem {
    Problem {
        subject: format!("instance {host}"),
        problem: why.to_owned(),
        next: "look at the host; its agent ends the fault by itself at the deadline".to_owned(),
    }
}

/// What `status` counts, where it can be had with one command.
pub(super) async fn faulted_so_far(live: &Live, hosts: &[InstanceId]) -> Option<u64> {
    let experiment = live.experiment();
    let script = scripts::status(Some(&experiment));
    let answers = live.cloud.ask(Action::Status, Some(&experiment), &script, hosts).await.ok()?;
    let reports = answers.iter().filter_map(|answer| verify::status(&answer.stdout));
    let faults = reports.flat_map(|report| report.faults);
    Some(faults.flat_map(|fault| fault.targets).map(|target| target.counters.faulted).sum())
}
