//! While the fault is on: look now and then, read the agents' words at the end.

use std::{collections::BTreeSet, time::Duration};

use httpfault_common::contract::Event;
use tokio::time::{Instant, sleep};

use super::{
    live::Live,
    prove::{self, silent, tolerate},
};
use crate::{
    aws::{Answer, Sent, State},
    console::Console,
    fleet::InstanceId,
    plan::{HOLD_STRIDE, INSTANCES_PER_COMMAND},
    verify,
};

/// The counters of the hosts are asked for at every so many looks.
const COUNTERS_AT: u32 = 4;

/// Waits for the end of every command of the window and reads what the agents said.
pub(super) async fn hold(live: &mut Live, window: usize, console: &mut Console) -> anyhow::Result<()> {
    let length = Duration::from_secs(live.plan.duration_secs);
    let what = format!("{} task(s) faulted", live.plan.tasks.len());
    console.begin(length, &what);
    let answers = until_over(live, window, length, &what, console).await;
    console.end();
    take(live, window, &answers?);
    Ok(())
}

async fn until_over(
    live: &mut Live,
    window: usize,
    length: Duration,
    what: &str,
    console: &Console,
) -> anyhow::Result<Vec<Answer>> {
    let begin = Instant::now();
    // The proof that it is on took some of the time already; the hosts' clocks decide, this is only how long to wait.
    let end = begin + length + live.cloud.answer_within();
    let mut faulted = None;
    let mut looks = 0;
    loop {
        let mut running = BTreeSet::new();
        for sent in live.sent_in(window) {
            match tolerate(live.cloud.look(&sent).await, console)? {
                Some(states) => running.extend(unfinished(states)),
                None => running.extend(sent.instances),
            }
        }
        let gone = begin.elapsed();
        if running.is_empty() || Instant::now() >= end {
            let answers = outputs(live, window).await?;
            if Instant::now() < end && follow_twins(live, window, &answers).await? {
                continue;
            }
            follow_status(live, window, already_running(&answers), end).await?;
            return Ok(answers);
        }
        looks += 1;
        if looks % COUNTERS_AT == 0 && running.len() <= INSTANCES_PER_COMMAND {
            prove::look_at(live, window, &running).await?;
            faulted = Some(live.report.tasks.iter().map(|task| task.counters.faulted).sum::<u64>());
        }
        let left = length.saturating_sub(gone);
        let count = faulted.map(|count| format!(", {count} request(s) so far")).unwrap_or_default();
        console.progress(gone, left, &format!("{what}{count}"));
        sleep(nap(left, live.cloud.poll())).await;
    }
}

fn unfinished(states: std::collections::BTreeMap<InstanceId, State>) -> impl Iterator<Item = InstanceId> {
    states.into_iter().filter(|(_, state)| !state.is_final()).map(|(host, _)| host)
}

/// Seldom in the middle, every poll interval near the end.
fn nap(left: Duration, poll: Duration) -> Duration {
    let jitter = poll.mul_f64(fastrand::f64() / 3.0);
    left.clamp(poll, poll * HOLD_STRIDE) + jitter
}

async fn outputs(live: &Live, window: usize) -> anyhow::Result<Vec<Answer>> {
    let mut answers = Vec::new();
    for sent in live.sent_in(window) {
        answers.extend(live.cloud.outputs(&sent).await?);
    }
    Ok(answers)
}

/// A command that was sent twice (its answer was lost) says "already running" and ends at once: its twin holds the
/// fault and is followed from here on. True when there was one.
async fn follow_twins(live: &mut Live, window: usize, answers: &[Answer]) -> anyhow::Result<bool> {
    if already_running(answers).is_empty() {
        return Ok(false);
    }
    let mut followed = false;
    for (index, sent) in live.sent_in(window).into_iter().enumerate() {
        let same = live.cloud.commands_with(&sent.comment, sent.since).await?;
        let twin = same.into_iter().find(|id| Some(id) != sent.command.as_ref());
        let entry = live.ledger.get_mut(window).and_then(|ledger| ledger.get_mut(index));
        if let (Some(twin), Some(entry), false) = (twin, entry, sent.is_twin) {
            *entry = Sent { command: Some(twin), is_twin: true, ..sent };
            followed = true;
        }
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
    live: &mut Live,
    window: usize,
    mut hosts: BTreeSet<InstanceId>,
    end: Instant,
) -> anyhow::Result<()> {
    while !hosts.is_empty() && Instant::now() < end {
        if let Some(on) = prove::look_at(live, window, &hosts).await? {
            hosts = on;
        }
    }
    Ok(())
}

fn take(live: &mut Live, window: usize, answers: &[Answer]) {
    for run in live.ready_runs(window) {
        let host = &run.instance;
        let why = match answers.iter().find(|answer| answer.instance == *host) {
            Some(answer) if answer.state.is_final() => {
                live.unended.remove(host);
                live.take_answer(&run, answer);
                continue;
            }
            Some(answer) => answer.failure(),
            None => "SSM does not show its command".to_owned(),
        };
        live.unended.insert(host.clone());
        live.fail_host(&run, &silent(host, &why));
    }
}

/// Also used after an abort, when the story is gone.
pub(super) async fn take_everything(live: &mut Live) -> anyhow::Result<()> {
    for window in 0..live.plan.windows.len() {
        if !live.sent_in(window).is_empty() {
            let answers = outputs(live, window).await?;
            take(live, window, &answers);
        }
    }
    Ok(())
}
