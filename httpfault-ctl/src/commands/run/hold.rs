//! While the fault is on: look now and then, read the agents' words at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use httpfault_common::contract::Event;
use tokio::time::{Instant, sleep};

use super::{
    desk::{Desk, problem},
    live::LiveWindow,
    prove::{self, LOOKING_AGAIN},
};
use crate::{
    aws::{Answer, ApiError, Sent, State, limit::INSTANCES_PER_COMMAND},
    console::Console,
    fleet::InstanceId,
    plan::HOLD_STRIDE,
    verify,
};

/// The counters of the hosts are asked for at every so many looks, where nobody watches them.
const COUNTERS_AT: u32 = 4;

/// Waits for the end of every command of the window and reads what the agents said.
pub(super) async fn hold(
    desk: &mut Desk,
    window: &mut LiveWindow,
    console: &mut Console,
) -> anyhow::Result<()> {
    let length = Duration::from_secs(desk.plan.duration_secs);
    console.begin(length, &progress(desk, window));
    let answers = until_over(desk, window, length, console).await;
    console.end();
    take(desk, window, &answers?);
    Ok(())
}

async fn until_over(
    desk: &mut Desk,
    window: &mut LiveWindow,
    length: Duration,
    console: &Console,
) -> anyhow::Result<Vec<Answer>> {
    let begin = window.begun.unwrap_or_else(Instant::now);
    // The hosts' clocks decide; this is only how long to wait.
    let end = begin + length + desk.cloud.answer_within();
    let counters_at = if desk.meter.is_watched() { 1 } else { COUNTERS_AT };
    let mut looks = 0;
    loop {
        let running = running(desk, window, console).await?;
        if running.is_empty() || Instant::now() >= end {
            let answers = outputs(desk, window).await?;
            if Instant::now() < end && follow_twins(desk, window, &answers).await? {
                continue;
            }
            follow_status(desk, window, already_running(&answers), end, console).await?;
            last_looks(desk, window, console).await?;
            return Ok(answers);
        }
        looks += 1;
        let left = length.saturating_sub(begin.elapsed());
        let due = looks % counters_at == 0 && running.len() <= INSTANCES_PER_COMMAND;
        // At the end a host that has not ended has perhaps gone away, perhaps after it was asked.
        if begin.elapsed() >= length + desk.cloud.patience() {
            desk.errands.ask_anew(&running);
        }
        if due || left.is_zero() {
            prove::look(desk, &running, console).await?;
            desk.cloud.pause(0).await;
        }
        prove::answered(desk, window, console).await?;
        desk.meter.show(&desk.report, console);
        console.progress(begin.elapsed().min(length), left, &progress(desk, window));
        sleep(nap(left, desk.cloud.poll())).await;
    }
}

/// The hosts whose command has not ended.
async fn running(
    desk: &Desk,
    window: &LiveWindow,
    console: &Console,
) -> Result<BTreeSet<InstanceId>, ApiError> {
    let mut running = BTreeSet::new();
    for sent in &window.sent {
        match console.unless_passing(desk.cloud.look(sent).await, LOOKING_AGAIN)? {
            Some(states) => running.extend(unfinished(states)),
            None => running.extend(sent.instances.iter().cloned()),
        }
    }
    running.retain(|host| !desk.gone.contains(host));
    Ok(running)
}

fn unfinished(states: BTreeMap<InstanceId, State>) -> impl Iterator<Item = InstanceId> {
    states.into_iter().filter(|(_, state)| !state.is_final()).map(|(host, _)| host)
}

/// What a person reads meanwhile: only what was seen.
fn progress(desk: &Desk, window: &LiveWindow) -> String {
    let indexes = window.runs.iter().flat_map(|run| &run.tasks);
    let tasks = indexes.filter_map(|index| desk.report.tasks.get(*index));
    let (mut on, mut faulted) = (0, 0);
    for task in tasks.filter(|task| task.verified_on) {
        on += 1;
        faulted += task.counters.faulted;
    }
    let tasks = match window.tasks() {
        all if all == on => format!("{all} task(s) faulted"),
        all => format!("{on} of {all} task(s) seen with the fault"),
    };
    if faulted == 0 { tasks } else { format!("{tasks}, {faulted} request(s) so far") }
}

/// Seldom in the middle, every poll interval near the end.
fn nap(left: Duration, poll: Duration) -> Duration {
    let jitter = poll.mul_f64(fastrand::f64() / 3.0);
    left.clamp(poll, poll * HOLD_STRIDE) + jitter
}

async fn outputs(desk: &Desk, window: &LiveWindow) -> Result<Vec<Answer>, ApiError> {
    let mut answers = Vec::new();
    for sent in &window.sent {
        answers.extend(desk.cloud.outputs(sent).await?);
    }
    Ok(answers)
}

/// A command that was sent twice (its answer was lost) says "already running" and ends at once: its twin holds the
/// fault and is followed from here on. True when there was one.
async fn follow_twins(desk: &Desk, window: &mut LiveWindow, answers: &[Answer]) -> Result<bool, ApiError> {
    if already_running(answers).is_empty() {
        return Ok(false);
    }
    let mut followed = false;
    for sent in window.sent.iter_mut().filter(|sent| !sent.is_twin) {
        let same = desk.cloud.commands_with(&sent.comment, sent.since).await?;
        let Some(twin) = same.into_iter().find(|id| Some(id) != sent.command.as_ref()) else { continue };
        *sent = Sent { command: Some(twin), is_twin: true, ..sent.clone() };
        followed = true;
    }
    Ok(followed)
}

/// The hosts whose command found the experiment on already.
fn already_running(answers: &[Answer]) -> BTreeSet<InstanceId> {
    let already = |answer: &&Answer| {
        let mut events = verify::events(&answer.stdout).into_iter();
        events.any(|event| matches!(event, Event::AlreadyRunning(_)))
    };
    answers.iter().filter(already).map(|answer| answer.instance.clone()).collect()
}

/// Where no command holds the fault any more, `status` tells when it ends.
async fn follow_status(
    desk: &mut Desk,
    window: &LiveWindow,
    mut hosts: BTreeSet<InstanceId>,
    end: Instant,
    console: &Console,
) -> anyhow::Result<()> {
    while !hosts.is_empty() && Instant::now() < end {
        prove::look(desk, &hosts, console).await?;
        desk.cloud.pause(0).await;
        let on = prove::answered(desk, window, console).await?;
        // Where nothing was answered it may be on.
        hosts.retain(|host| on.contains(host) || desk.errands.is_waiting(host));
    }
    Ok(())
}

/// A look that was on its way when the fault ended has perhaps seen it. It is waited for where no other has.
async fn last_looks(desk: &mut Desk, window: &LiveWindow, console: &Console) -> Result<(), ApiError> {
    let give_up = Instant::now() + desk.cloud.patience();
    loop {
        prove::answered(desk, window, console).await?;
        let mut unseen = false;
        for run in window.runs.iter().filter(|run| desk.errands.is_waiting(&run.instance)).collect::<Vec<_>>()
        {
            desk.each_task(run, |_, task| unseen |= !task.verified_on);
        }
        if !unseen || Instant::now() >= give_up {
            return Ok(());
        }
        desk.cloud.pause(0).await;
    }
}

fn take(desk: &mut Desk, window: &LiveWindow, answers: &[Answer]) {
    for run in &window.runs {
        let host = &run.instance;
        let Some(answer) = answers.iter().find(|answer| answer.instance == *host) else { continue };
        if answer.state.is_final() {
            desk.unended.remove(host);
            desk.take_answer(run, answer);
        } else if !desk.gone.contains(host) {
            desk.unended.insert(host.clone());
            let next = "look at the host; its agent ends the fault by itself at the deadline";
            desk.fail_host(run, &problem(host, &answer.failure(), next));
        }
    }
}

/// Also used after an abort, when the story is gone.
pub(super) async fn take_everything(desk: &mut Desk, windows: &[LiveWindow]) -> Result<(), ApiError> {
    for window in windows {
        let answers = outputs(desk, window).await?;
        take(desk, window, &answers);
    }
    Ok(())
}
