//! `remove`: ends faults from outside. Needs a cluster or an experiment id and nothing else, and is content when
//! nothing is there.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use httpfault_common::contract::{Exit, ExperimentId, StatusReport};

use crate::{
    abort::Abort,
    aws::{Action, Answer, Cloud, Hosts, scripts},
    console::Console,
    error::CtlError,
    fleet::InstanceId,
    report::{self, HostRemoval, RemovalOverview},
    tunables::Access,
    verify,
};

/// Removes one experiment's fault, the faults on a service's tasks, or everything in a cluster, and proves it.
pub(super) async fn remove(access: &Access, console: &Console, abort: &Abort) -> anyhow::Result<Exit> {
    let cloud = Cloud::connect(access).await?;
    let work = async {
        let asked = hosts(&cloud, access).await?;
        let mut rows = Vec::new();
        match (&access.experiment, &access.service) {
            (Some(experiment), _) => rows.extend(remove_on(&cloud, Some(experiment), &asked.online).await?),
            (None, Some(_)) => {
                for (experiment, online) in experiments(&cloud, &asked).await? {
                    rows.extend(remove_on(&cloud, Some(&experiment), &online).await?);
                }
            }
            (None, None) => rows.extend(remove_on(&cloud, None, &asked.online).await?),
        }
        let unasked = |(id, why): (InstanceId, String)| HostRemoval::failed(&id, why);
        rows.extend(asked.silent.into_iter().map(unasked));
        anyhow::Ok(rows)
    };
    // Removing is what an abort would do: only the third signal ends it.
    let hosts = tokio::select! {
        result = work => result?,
        () = abort.signals(3) => return Err(CtlError::Abandoned { recover: Some(again(access)) }.into()),
    };
    let left = hosts.iter().any(|host| !host.left_behind.is_empty());
    let exit = match hosts.iter().filter(|host| host.error.is_some()).count() {
        _ if left => Exit::LeftBehind,
        0 => Exit::Done,
        failed if failed == hosts.len() => Exit::Failed,
        _ => Exit::Partly,
    };
    if exit == Exit::LeftBehind {
        console.warn("something is left; the report names the command that removes it");
    }
    report::emit(&RemovalOverview { schema: 1, exit, hosts }, access.output);
    Ok(exit)
}

/// The hosts that a command without a plan is about.
pub(super) async fn hosts(cloud: &Cloud, access: &Access) -> anyhow::Result<Hosts> {
    match (&access.cluster, &access.experiment) {
        (Some(cluster), _) => Ok(cloud.hosts_of_cluster(cluster, access.service.as_deref()).await?),
        (None, Some(experiment)) => cloud.hosts_of(experiment).await.context(
            "looking up the hosts of an experiment in Systems Manager's history; with CLUSTER_NAME all hosts of the \
             cluster are asked instead",
        ),
        (None, None) => bail!(crate::tunables::InputMistakes::one(
            "CLUSTER_NAME",
            "is not set, and neither is EXPERIMENT_ID; give one of them, as a variable or as a flag",
        )),
    }
}

/// The experiments that concern a service's tasks, each with its hosts: other services on these hosts are left alone.
async fn experiments(cloud: &Cloud, asked: &Hosts) -> anyhow::Result<Vec<(ExperimentId, Vec<InstanceId>)>> {
    let answers = cloud.ask(Action::Status, None, &scripts::status(None), &asked.online).await?;
    let mut found: std::collections::BTreeMap<ExperimentId, Vec<InstanceId>> = Default::default();
    for answer in answers {
        let Some(StatusReport { faults }) = verify::status(&answer.stdout) else { continue };
        for fault in faults {
            let ours =
                fault.targets.iter().any(|t| asked.targets.iter().any(|id| t.target.contains(id.as_str())));
            if ours || fault.targets.is_empty() {
                found.entry(fault.experiment_id).or_default().push(answer.instance.clone());
            }
        }
    }
    Ok(found.into_iter().collect())
}

async fn remove_on(
    cloud: &Cloud,
    experiment: Option<&ExperimentId>,
    hosts: &[InstanceId],
) -> anyhow::Result<Vec<HostRemoval>> {
    let mut rows = Vec::new();
    let answers = cloud.ask(Action::Remove, experiment, &scripts::remove(experiment), hosts).await?;
    let proof = cloud.ask(Action::Status, experiment, &scripts::status(experiment), hosts).await?;
    for answer in answers {
        let id = &answer.instance;
        let Some(report) = verify::removal(&answer.stdout) else {
            rows.push(HostRemoval::failed(id, answer.failure()));
            continue;
        };
        let mut row = HostRemoval { instance: id.to_string(), removed: report.removed, ..Default::default() };
        row.left_behind = report.left_behind;
        let still = still_on(&proof, id, experiment);
        match still {
            Ok(on) => row.left_behind.extend(on.into_iter().map(|id| left(&id, &answer))),
            Err(why) => row.error = Some(format!("it can't be proved that nothing is left: {why}")),
        }
        rows.push(row);
    }
    Ok(rows)
}

/// The experiments that a host still shows.
fn still_on(
    proof: &[Answer],
    host: &InstanceId,
    experiment: Option<&ExperimentId>,
) -> Result<BTreeSet<ExperimentId>, String> {
    let answer = proof.iter().find(|answer| answer.instance == *host).ok_or("no answer")?;
    let report = verify::status(&answer.stdout).ok_or_else(|| answer.failure())?;
    let ids = report.faults.into_iter().map(|fault| fault.experiment_id);
    Ok(ids.filter(|id| experiment.is_none_or(|wanted| id == wanted)).collect())
}

fn left(experiment: &ExperimentId, answer: &Answer) -> httpfault_common::contract::LeftBehind {
    httpfault_common::contract::LeftBehind {
        what: format!("experiment {experiment} on {}", answer.instance),
        error: "status still shows it after remove".to_owned(),
        remove_with: format!("httpfault-agent remove --experiment-id {experiment}"),
    }
}

fn again(access: &Access) -> String {
    let mut command = format!("httpfault-ctl remove --region {}", access.region);
    if let Some(cluster) = &access.cluster {
        command.push_str(&format!(" --cluster-name {cluster}"));
    }
    if let Some(experiment) = &access.experiment {
        command.push_str(&format!(" --experiment-id {experiment}"));
    }
    command
}
