//! Proof by a second command, before anything is said to be on or off.

use std::collections::{BTreeMap, BTreeSet};

use httpfault_common::contract::{Exit, FaultStatus, Problem};
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

/// How often `remove` is tried where `status` still shows the fault.
const REMOVALS: u32 = 3;

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
        if let Some(own) = own {
            task.counters = own.counters.clone();
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
    let (mut unclear, mut on) = still_on(live, hosts.clone()).await?;
    // An agent that could not undo everything has said so, although its fault no longer shows.
    let mut damaged: BTreeSet<InstanceId> = live.agents_left.keys().cloned().collect();
    damaged.retain(|host| hosts.contains(host) && !unclear.contains_key(host));
    on.extend(damaged);
    for round in 0..REMOVALS {
        if on.is_empty() {
            break;
        }
        console.warn(&format!("the fault is still on at {} host(s); removing it", on.len()));
        // An agent that was just killed, or is just ending, may need a moment.
        live.cloud.pause(round).await;
        let (more, still) = remove(live, on).await?;
        unclear.extend(more);
        on = still;
    }
    for host in on {
        live.left_on(&host, "status still shows the fault after remove".to_owned());
    }
    for (host, why) in unclear {
        if ended_by_itself(live, &host) {
            live.warn(format!(
                "instance {host}: its agent reported the end, a second look was not possible ({why})"
            ));
        } else {
            live.left_on(&host, format!("{why}; its agent ends the fault by itself at the deadline"));
        }
    }
    live.note_agents_left();
    Ok(())
}

/// `remove` on hosts where something is left, and another look.
async fn remove(
    live: &mut Live,
    hosts: BTreeSet<InstanceId>,
) -> Result<(Unclear, BTreeSet<InstanceId>), ApiError> {
    let experiment = live.experiment();
    let list: Vec<InstanceId> = hosts.iter().cloned().collect();
    let script = scripts::remove(Some(&experiment));
    for answer in live.cloud.ask(Action::Remove, Some(&experiment), &script, &list).await? {
        let Some(report) = verify::removal(&answer.stdout) else { continue };
        if report.left_behind.is_empty() && report.exit == Exit::Done {
            live.agents_left.remove(&answer.instance);
        } else {
            live.agents_left.entry(answer.instance).or_default().extend(report.left_behind);
        }
    }
    still_on(live, hosts).await
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
    live.not_left_on(&answer.instance);
    let host = answer.instance.as_str();
    let tried = |outcome: TaskOutcome| outcome != TaskOutcome::NotTried;
    for task in live.report.tasks.iter_mut().filter(|task| task.instance == host) {
        task.verified_off = tried(task.outcome) || task.injected_at.is_some();
    }
}

/// Whether the agent's command has ended, and with it everything on this host.
fn ended_by_itself(live: &Live, host: &InstanceId) -> bool {
    if live.unended.contains(host) {
        return false;
    }
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

/// Another look with `status`: the hosts that show the fault on, with their counters put into the records. A look that
/// fails shows nothing.
pub(super) async fn look_at(
    live: &mut Live,
    window: usize,
    hosts: &BTreeSet<InstanceId>,
) -> Result<Option<BTreeSet<InstanceId>>, ApiError> {
    let experiment = live.experiment();
    let script = scripts::status(Some(&experiment));
    let hosts: Vec<InstanceId> = hosts.iter().cloned().collect();
    let asked = live.cloud.ask(Action::Status, Some(&experiment), &script, &hosts).await;
    let answers = match asked {
        Ok(answers) => answers,
        Err(error) if error.is_throttled() || error.maybe_carried_out() => return Ok(None),
        Err(error) => return Err(error),
    };
    let runs = live.ready_runs(window);
    let mut on = BTreeSet::new();
    for answer in answers {
        let Some(report) = verify::status(&answer.stdout) else { continue };
        if let Steering::On(status) = verify::steering(&report, &experiment)
            && let Some(run) = runs.iter().find(|run| run.instance == answer.instance)
        {
            seen_on(live, run, &status);
            on.insert(answer.instance);
        }
    }
    Ok(Some(on))
}
