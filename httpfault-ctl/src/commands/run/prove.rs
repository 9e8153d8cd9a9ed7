//! Proof by a second command, before anything is said to be on or off.

use std::collections::BTreeSet;

use httpfault_common::contract::FaultStatus;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{desk::Desk, live::LiveWindow};
use crate::{
    aws::{Action, ApiError, Reply, State, scripts},
    console::Console,
    fleet::InstanceId,
    plan::HostRun,
    removal::Removal,
    report::{Replacement, TaskOutcome, TaskReport},
    verify::{self, Steering},
};

/// Waits until every host shows the fault on, has ended its command, or has had long enough. Whether any showed it.
pub(super) async fn on(desk: &mut Desk, window: &LiveWindow, console: &Console) -> anyhow::Result<bool> {
    let mut pending = window.told();
    let all = pending.len();
    // Later there is nothing to see.
    let over = window.lasts_until(desk.plan.duration_secs) + desk.cloud.patience();
    let give_up = over.min(Instant::now() + desk.cloud.answer_within());
    let mut proved = 0;
    let mut looks = 0;
    while !pending.is_empty() && Instant::now() < give_up {
        // The first look is sent soon after the fault, and its answer fetched soon after that.
        desk.cloud.pause(u32::from(looks > 1)).await;
        looks += 1;
        if looks == 1 {
            look(desk, &pending, console).await?;
            continue;
        }
        let on = answered(desk, window, console).await?;
        proved += pending.iter().filter(|host| on.contains(*host)).count();
        pending.retain(|host| !on.contains(host) && !desk.gone.contains(host));
        if pending.is_empty() {
            break;
        }
        for sent in &window.sent {
            let states =
                console.unless_passing(desk.cloud.look(sent).await, LOOKING_AGAIN)?.unwrap_or_default();
            // What has ended is read with its output, after the hold.
            pending.retain(|host| !states.get(host).is_some_and(State::is_final));
        }
        look(desk, &pending, console).await?;
    }
    if proved > 0 {
        console.say(&format!("injected on {proved} of {all} host(s), proved by a second command"));
    }
    if !pending.is_empty() {
        console.warn(&format!("{} of {all} host(s) did not answer whether the fault is on", pending.len()));
    }
    Ok(proved > 0)
}

/// Asks hosts for their status, those that have answered the last time.
pub(super) async fn look(
    desk: &mut Desk,
    hosts: &BTreeSet<InstanceId>,
    console: &Console,
) -> Result<(), ApiError> {
    let experiment = desk.experiment();
    let script = scripts::status(Some(&experiment));
    let sent = desk.errands.send(&desk.cloud, Action::Status, Some(&experiment), &script, hosts).await;
    console.unless_passing(sent, LOOKING_AGAIN).map(drop)
}

/// Takes the answers that have come: the hosts that show the fault on. Their counters go into the records.
pub(super) async fn answered(
    desk: &mut Desk,
    window: &LiveWindow,
    console: &Console,
) -> Result<BTreeSet<InstanceId>, ApiError> {
    let experiment = desk.experiment();
    let replies = desk.errands.collect(&desk.cloud).await;
    let mut on = BTreeSet::new();
    // A look at an earlier window tells nothing of this one.
    let own = |reply: &Reply| window.begun.is_some_and(|begun| reply.asked >= begun);
    let replies = console.unless_passing(replies, LOOKING_AGAIN)?.unwrap_or_default();
    for reply in replies.into_iter().filter(own) {
        let answer = reply.answer;
        if answer.is_refused() {
            desk.host_gone(&answer.instance, &answer.failure());
        }
        let (Some(report), Some(run)) = (verify::status(&answer.stdout), window.run_on(&answer.instance))
        else {
            continue;
        };
        if let Steering::On(status) = verify::steering(&report, &experiment) {
            let ago = SignedDuration::try_from(reply.asked.elapsed()).unwrap_or_default();
            if seen_on(desk, run, &status, Timestamp::now() - ago) {
                on.insert(answer.instance);
            }
        }
    }
    Ok(on)
}

/// Whether it shows any of the tasks.
fn seen_on(desk: &mut Desk, run: &HostRun, status: &FaultStatus, at: Timestamp) -> bool {
    let mut seen = false;
    desk.each_task(run, |target, task| {
        let own = status.targets.iter().find(|report| report.target == target && report.error.is_none());
        if let Some(own) = own {
            task.counters = own.counters.clone();
            task.counters_at = Some(at);
            task.injected_at = status.injected_at;
            task.verified_on = true;
            seen = true;
        }
    });
    seen
}

/// Asks every host of a window whether the fault is gone, removes it where it is not, and asks again.
pub(super) async fn off(desk: &mut Desk, window: &LiveWindow, console: &Console) -> anyhow::Result<()> {
    let hosts: BTreeSet<InstanceId> =
        window.told().into_iter().filter(|host| !desk.gone.contains(host)).collect();
    let experiment = desk.experiment();
    let mut removal = Removal::new(&desk.cloud, &mut desk.errands, console, Some(&experiment));
    removal.holding = Some(window.sent.clone());
    removal.damaged = desk.agents_left.keys().cloned().collect();
    let proved = removal.prove(hosts).await;
    let verdicts = std::mem::take(&mut removal.verdicts);
    desk.note_last_words(&verdicts);
    window.runs.iter().for_each(|run| desk.take_last_word(run));
    desk.take_verdicts(verdicts);
    for run in &window.runs {
        desk.date_counters(run);
        unseen(desk, run);
    }
    Ok(proved?)
}

/// Says where the fault was on and no second command saw it.
fn unseen(desk: &mut Desk, run: &HostRun) {
    let mut unseen = false;
    desk.each_task(run, |_, task| unseen |= task.injected_at.is_some() && !task.verified_on);
    if unseen {
        desk.warn(format!(
            "instance {}: the fault was not seen on by a second command; the agent's own report says that it was",
            run.instance
        ));
    }
}

/// Names the tasks that a service started in place of those that went away. It is only an explanation: when it can't
/// be had, the run is none the worse.
pub(super) async fn replacements(desk: &mut Desk) {
    // ECS tells full seconds of some times.
    let since = desk.report.started_at - SignedDuration::from_secs(1);
    let known: BTreeSet<String> = desk.plan.tasks.iter().map(|task| task.task.clone()).collect();
    let mut warnings = Vec::new();
    for (planned, task) in desk.plan.tasks.iter().zip(&mut desk.report.tasks) {
        let TaskReport { outcome: TaskOutcome::TargetGone, .. } = task else { continue };
        let newer =
            desk.cloud.newer_tasks(&desk.plan.cluster, &planned.group, since).await.unwrap_or_default();
        let others = newer.iter().filter(|task| !known.contains(&task.id));
        task.replaced_by = others.map(Replacement::of).collect();
        let by: Vec<&str> = task.replaced_by.iter().map(|new| new.task.as_str()).collect();
        let by = if by.is_empty() { "no other yet".to_owned() } else { by.join(", ") };
        let when = if task.injected_at.is_some() { "while" } else { "before" };
        warnings
            .push(format!("task {} went away {when} the fault was on; its service started {by}", task.task));
    }
    warnings.into_iter().for_each(|warning| desk.warn(warning));
}

/// A look that failed for lack of rate or network says nothing about the fault.
pub(super) const LOOKING_AGAIN: &str = "the fault is not touched, looking again";
