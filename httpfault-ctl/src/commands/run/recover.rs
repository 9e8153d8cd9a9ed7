//! After an abort or an error: the fault is taken off every host that may have it, and that is proved.

use std::{collections::BTreeSet, time::Duration};

use super::{
    hold,
    live::{Live, LiveWindow},
    prove,
};
use crate::{
    abort::Abort,
    aws::{ApiError, Cloud, Sent},
    console::Console,
    error::CtlError,
    fleet::InstanceId,
    removal::{Removal, Verdict, Verdicts},
    tunables::Access,
};

/// How long a command may take to end after its agent said that the fault is removed.
const TO_END: Duration = Duration::from_secs(30);

/// How long it may take to ask what came in place of tasks that went away.
const TO_EXPLAIN: Duration = Duration::from_secs(5);

/// Takes off whatever the run has put on. What can't be proved goes into the report as left behind.
pub(super) async fn recover(live: &mut Live, access: &Access, console: &Console) {
    let Live { desk, windows, .. } = live;
    // The error may have been that the credentials ran out: what is fresh by now is used.
    if desk.report.error.is_some()
        && let Ok(cloud) = Cloud::connect(access).await
    {
        desk.cloud = cloud;
    }
    console
        .say("taking the fault off all hosts; a second signal changes nothing, a third leaves without proof");
    if let Err(error) = find_lost(&desk.cloud, windows).await {
        desk.warn(format!(
            "commands whose answer was lost could not be looked up, so they can't be cancelled: {error}"
        ));
    }
    let hosts: BTreeSet<InstanceId> = windows.iter().flat_map(LiveWindow::told).collect();
    let experiment = desk.experiment();
    let mut removal = Removal::new(&desk.cloud, &mut desk.errands, console, Some(&experiment));
    removal.holding = Some(windows.iter().flat_map(|window| &window.sent).cloned().collect());
    let done = removal.remove(hosts.clone()).await;
    let (verdicts, cancelled) =
        (std::mem::take(&mut removal.verdicts), std::mem::take(&mut removal.cancelled));
    if let Err(error) = await_ends(&desk.cloud, windows, &verdicts, &cancelled).await {
        desk.warn(format!("the ends of the agents' commands could not be awaited: {error}"));
    }
    desk.cancelled = cancelled;
    desk.note_last_words(&verdicts);
    if let Err(error) = hold::take_everything(desk, windows).await {
        desk.warn(format!("the agents' reports could not be read: {error:#}"));
    }
    let told = verdicts.keys().cloned().collect();
    desk.take_verdicts(verdicts);
    windows.iter().flat_map(|window| &window.runs).for_each(|run| desk.date_counters(run));
    if let Err(error) = done {
        for host in hosts.difference(&told) {
            desk.left_on(host, format!("{error}; its agent ends the fault by itself at the deadline"));
        }
    }
    // Somebody may be waiting for the program.
    let _unknown = tokio::time::timeout(TO_EXPLAIN, prove::replacements(desk)).await;
}

/// Says at the second signal that the proof goes on, and completes at the third.
pub(super) async fn leave_at_third(abort: &Abort, console_was_told: &Console) {
    abort.signals(2).await;
    console_was_told.say("still taking the fault off; a third signal leaves without proof");
    abort.signals(3).await;
}

/// What nobody looked at may be left behind.
pub(super) fn note_unproved(live: &mut Live, why: &CtlError) {
    let told: BTreeSet<InstanceId> = live.windows.iter().flat_map(LiveWindow::told).collect();
    for host in &told {
        live.desk.left_on(host, "this program left before it was proved to be off".to_owned());
    }
    live.desk.report.error = Some(why.to_string());
}

/// Commands whose answer never came are looked up by their comments.
async fn find_lost(cloud: &Cloud, windows: &mut [LiveWindow]) -> Result<(), ApiError> {
    for window in windows {
        let mut found = Vec::new();
        for sent in &window.sent {
            if sent.command.is_some() {
                found.push(sent.clone());
                continue;
            }
            let ids = cloud.commands_with(&sent.comment, sent.since).await?;
            match ids.is_empty() {
                // It may still be on its way.
                true => found.push(sent.clone()),
                false => found.extend(ids.into_iter().map(|id| Sent { command: Some(id), ..sent.clone() })),
            }
        }
        window.sent = found;
    }
    Ok(())
}

/// An agent that was told to end has its report out soon. A command that was cancelled before it began never answers.
async fn await_ends(
    cloud: &Cloud,
    windows: &[LiveWindow],
    verdicts: &Verdicts,
    cancelled: &BTreeSet<InstanceId>,
) -> Result<(), ApiError> {
    let off = |host: &InstanceId| matches!(verdicts.get(host), Some(Verdict::Off(_)));
    for sent in windows.iter().flat_map(|window| &window.sent) {
        let only = |wanted: bool| -> Sent {
            let hosts = sent.instances.iter().filter(|host| off(host) && cancelled.contains(*host) == wanted);
            Sent { instances: hosts.cloned().collect(), ..sent.clone() }
        };
        for (part, limit) in [(only(false), TO_END.min(cloud.answer_within())), (only(true), cloud.poll())] {
            if !part.instances.is_empty() {
                cloud.finish(&part, limit).await?;
            }
        }
    }
    Ok(())
}
