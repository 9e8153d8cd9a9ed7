//! After an abort or an error: `remove` on every host that may have the fault, CancelCommand where that is not
//! confirmed, `status` as the proof.

use std::{collections::BTreeSet, time::Duration};

use httpfault_common::contract::ExperimentId;

use super::{hold, live::Live, prove};
use crate::{
    abort::Abort,
    aws::{Action, ApiError, Cloud, Sent, scripts},
    console::Console,
    fleet::InstanceId,
    tunables::Access,
    verify,
};

/// How long a command may take to end after its agent said that the fault is removed.
const TO_END: Duration = Duration::from_secs(30);

/// Takes off whatever the run has put on. What can't be proved goes into the report as left behind.
pub(super) async fn recover(live: &mut Live, access: &Access, console: &Console) {
    // The error may have been that the credentials ran out: what is fresh by now is used.
    if live.report.error.is_some()
        && let Ok(cloud) = Cloud::connect(access).await
    {
        live.cloud = cloud;
    }
    console
        .say("taking the fault off all hosts; a second signal changes nothing, a third leaves without proof");
    let hosts: BTreeSet<InstanceId> = live.sent().into_iter().flat_map(|sent| sent.instances).collect();
    let done = take_off(live, &hosts, console).await;
    if let Err(error) = hold::take_everything(live).await {
        live.warn(format!("the agents' reports could not be read: {error:#}"));
    }
    let proved = prove::prove_off(live, hosts.clone(), console).await;
    live.all_proved_off();
    let Err(error) = done.and(proved) else { return };
    for host in hosts {
        let seen_off =
            live.report.tasks.iter().any(|task| task.instance == host.as_str() && task.verified_off);
        if !seen_off {
            live.left_on(&host, format!("{error}; its agent ends the fault by itself at the deadline"));
        }
    }
}

/// Says at the second signal that the proof goes on, and completes at the third.
pub(super) async fn leave_at_third(abort: &Abort, console_was_told: &Console) {
    abort.signals(2).await;
    console_was_told.say("still taking the fault off; a third signal leaves without proof");
    abort.signals(3).await;
}

async fn take_off(live: &mut Live, hosts: &BTreeSet<InstanceId>, console: &Console) -> Result<(), ApiError> {
    let experiment = live.experiment();
    let commands = find_lost(live).await?;
    let asked = live.cloud.reachable(hosts.clone()).await?;
    let script = scripts::remove(Some(&experiment));
    let answers = live.cloud.ask(Action::Remove, Some(&experiment), &script, &asked.online).await?;
    let mut confirmed = BTreeSet::new();
    for answer in &answers {
        let report = verify::removal(&answer.stdout);
        if report.is_some_and(|report| {
            report.removed.iter().any(|fault| fault.experiment_id == experiment.as_str())
        }) {
            confirmed.insert(answer.instance.clone());
        }
    }
    end_commands(live, &commands, &confirmed, &experiment, console).await
}

/// Commands whose answer never came are looked up by their comments.
async fn find_lost(live: &mut Live) -> Result<Vec<Sent>, ApiError> {
    let mut commands = Vec::new();
    for sent in live.sent() {
        if sent.command.is_some() {
            commands.push(sent);
            continue;
        }
        let found = live.cloud.commands_with(&sent.comment, sent.since).await?;
        commands.extend(found.into_iter().map(|id| Sent { command: Some(id), ..sent.clone() }));
    }
    for entry in live.ledger.iter_mut().flatten().filter(|entry| entry.command.is_none()) {
        let known = commands.iter().find(|sent| sent.comment == entry.comment);
        entry.command = known.and_then(|sent| sent.command.clone());
    }
    Ok(commands)
}

/// Where `remove` ended an agent its command ends too. All others are cancelled: they have not begun yet, or hang.
async fn end_commands(
    live: &Live,
    commands: &[Sent],
    confirmed: &BTreeSet<InstanceId>,
    experiment: &ExperimentId,
    console: &Console,
) -> Result<(), ApiError> {
    for sent in commands {
        let Some(command) = &sent.command else { continue };
        let cancel = |hosts: Vec<InstanceId>| async move {
            if hosts.is_empty() {
                return Ok(());
            }
            console.say(&format!("cancelling the command of {experiment} on {} host(s)", hosts.len()));
            live.cloud.cancel(command, &hosts).await
        };
        let states = live.cloud.look(sent).await?;
        let open = |host: &&InstanceId| !states.get(*host).is_some_and(|state| state.is_final());
        let unconfirmed = sent.instances.iter().filter(open).filter(|host| !confirmed.contains(*host));
        cancel(unconfirmed.cloned().collect()).await?;
        let answers = live.cloud.finish(sent, TO_END.min(live.cloud.answer_within())).await?;
        let hanging = answers.iter().filter(|answer| !answer.state.is_final());
        let hanging: Vec<InstanceId> = hanging.map(|answer| answer.instance.clone()).collect();
        if !hanging.is_empty() {
            cancel(hanging).await?;
            live.cloud.finish(sent, TO_END.min(live.cloud.answer_within())).await?;
        }
    }
    Ok(())
}
