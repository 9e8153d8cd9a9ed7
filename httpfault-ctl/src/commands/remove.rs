//! `remove`: ends faults from outside. Needs a cluster or an experiment id and nothing else, and is content when
//! nothing is there.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use httpfault_common::contract::{Exit, ExperimentId, LeftBehind, StatusReport};

use crate::{
    abort::Abort,
    aws::{Action, Cloud, Errands, Hosts, Looked, scripts},
    console::Console,
    error::CtlError,
    fleet::InstanceId,
    removal::{Removal, Verdict},
    report::{self, HostRemoval, RemovalOverview},
    tunables::Access,
    verify,
};

/// Removes one experiment's fault, the faults on a service's tasks, or everything in a cluster, and proves it.
pub(super) async fn remove(access: &Access, console: &Console, abort: &Abort) -> anyhow::Result<Exit> {
    let cloud = Cloud::connect(access).await?;
    // Removing is what an abort would do: only the third signal ends it.
    let (hosts, looked) = tokio::select! {
        result = everywhere(&cloud, access, console) => result?,
        () = abort.signals(3) => return Err(CtlError::Abandoned { recover: Some(again(access)) }.into()),
    };
    // A host that could not be asked may have the fault.
    let left = hosts.iter().any(|host| !host.left_behind.is_empty() || host.error.is_some());
    let exit = if left { Exit::LeftBehind } else { Exit::Done };
    if left {
        console.warn("something is left, or could not be asked; the report names it");
    }
    report::emit(&RemovalOverview { schema: 1, exit, hosts, looked }, access.output);
    Ok(exit)
}

async fn everywhere(
    cloud: &Cloud,
    access: &Access,
    console: &Console,
) -> anyhow::Result<(Vec<HostRemoval>, Option<Looked>)> {
    let asked = hosts(cloud, access).await?;
    let all: BTreeSet<InstanceId> = asked.online.iter().cloned().collect();
    let mut rows = Vec::new();
    match (&access.experiment, &access.service) {
        (Some(experiment), _) => rows.extend(remove_on(cloud, Some(experiment), all, console).await?),
        (None, Some(_)) => {
            let (found, unclear) = experiments(cloud, &asked).await?;
            for (experiment, online) in found {
                rows.extend(remove_on(cloud, Some(&experiment), online, console).await?);
            }
            rows.extend(unclear);
        }
        (None, None) => rows.extend(remove_on(cloud, None, all, console).await?),
    }
    rows.extend(asked.silent.into_iter().map(|(id, why)| HostRemoval::failed(&id, why)));
    rows.extend(asked.gone.into_iter().map(|(id, why)| HostRemoval::gone(&id, why)));
    Ok((rows, asked.looked))
}

/// The hosts that a command without a plan is about.
pub(super) async fn hosts(cloud: &Cloud, access: &Access) -> anyhow::Result<Hosts> {
    match (&access.cluster, &access.experiment) {
        (Some(cluster), _) => Ok(cloud.hosts_of_cluster(cluster, access.service.as_deref()).await?),
        (None, Some(experiment)) => {
            let hosts = cloud.hosts_of(experiment).await.context(
                "looking up the hosts of an experiment in Systems Manager's history; with CLUSTER_NAME all hosts of the \
                 cluster are asked instead",
            )?;
            let found = !(hosts.online.is_empty() && hosts.silent.is_empty() && hosts.gone.is_empty());
            match &hosts.looked {
                Some(looked) if !looked.far_enough && !found => bail!(
                    "experiment {experiment} is not among the last {} commands of Systems Manager, back to {}, and its \
                     fault may be older; give CLUSTER_NAME, and all hosts of the cluster are asked",
                    looked.commands,
                    looked.back_to.strftime("%F %T UTC")
                ),
                _ => Ok(hosts),
            }
        }
        (None, None) => bail!(crate::tunables::InputMistakes::one(
            "CLUSTER_NAME",
            "is not set, and neither is EXPERIMENT_ID; give one of them, as a variable or as a flag",
        )),
    }
}

type Experiments = BTreeMap<ExperimentId, BTreeSet<InstanceId>>;

/// The experiments that concern a service's tasks, each with its hosts: other services on these hosts are left alone.
/// And the hosts that did not tell.
async fn experiments(cloud: &Cloud, asked: &Hosts) -> anyhow::Result<(Experiments, Vec<HostRemoval>)> {
    let answers = cloud.ask(Action::Status, None, &scripts::status(None), &asked.online).await?;
    let (mut found, mut unclear) = (Experiments::new(), Vec::new());
    for answer in answers {
        let Some(StatusReport { faults, .. }) = verify::status(&answer.stdout) else {
            unclear.push(match answer.is_refused() {
                true => HostRemoval::gone(&answer.instance, answer.failure()),
                false => HostRemoval::failed(&answer.instance, answer.failure()),
            });
            continue;
        };
        for fault in faults {
            let ours =
                fault.targets.iter().any(|t| asked.targets.iter().any(|id| t.target.contains(id.as_str())));
            if ours || fault.targets.is_empty() {
                found.entry(fault.experiment_id).or_default().insert(answer.instance.clone());
            }
        }
    }
    Ok((found, unclear))
}

async fn remove_on(
    cloud: &Cloud,
    experiment: Option<&ExperimentId>,
    hosts: BTreeSet<InstanceId>,
    console: &Console,
) -> anyhow::Result<Vec<HostRemoval>> {
    let mut errands = Errands::default();
    let mut removal = Removal::new(cloud, &mut errands, console, experiment);
    removal.remove(hosts).await?;
    Ok(std::mem::take(&mut removal.verdicts).into_iter().map(row).collect())
}

fn row((host, verdict): (InstanceId, Verdict)) -> HostRemoval {
    let instance = host.to_string();
    match verdict {
        Verdict::Off(removed) => HostRemoval { instance, removed: removed.faults, ..Default::default() },
        Verdict::On(removed) => {
            let still = removed.still.iter().map(|experiment| LeftBehind {
                what: format!("experiment {experiment} on {host}"),
                error: "status still shows it after remove".to_owned(),
                remove_with: format!("httpfault-agent remove --experiment-id {experiment}"),
            });
            let mut left_behind: Vec<LeftBehind> = removed.left.into_iter().chain(still).collect();
            if left_behind.is_empty() {
                left_behind.push(LeftBehind {
                    what: format!("something on {host}"),
                    error: "remove did not succeed there".to_owned(),
                    remove_with: "httpfault-agent remove --all".to_owned(),
                });
            }
            HostRemoval { instance, removed: removed.faults, left_behind, ..Default::default() }
        }
        Verdict::Unclear(why) => HostRemoval::failed(&host, why),
        Verdict::Gone(why) => HostRemoval::gone(&host, why),
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
