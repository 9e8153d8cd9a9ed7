//! The hosts that `status` and `remove` ask: an experiment's, a service's, or all of a cluster.

use std::collections::BTreeSet;

use httpfault_common::contract::ExperimentId;

use super::{config::Cloud, error::ApiError, limit::ECS_BATCH, lookup::Looked};
use crate::fleet::{Fleet, InstanceId};

/// Hosts to ask, and those that can't be asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts {
    pub(crate) online: Vec<InstanceId>,
    /// With the reason.
    pub(crate) silent: Vec<(InstanceId, String)>,
    /// Those that Systems Manager no longer knows.
    pub(crate) gone: Vec<(InstanceId, String)>,
    /// Where the hosts were found by an experiment's commands: how far back.
    pub(crate) looked: Option<Looked>,
    /// Docker ids and task ids of the service's tasks, to tell its faults from others on the same host.
    pub(crate) targets: BTreeSet<String>,
}

impl Cloud {
    /// All hosts of a cluster, or those on which a service's tasks run.
    pub(crate) async fn hosts_of_cluster(
        &self,
        cluster: &str,
        service: Option<&str>,
    ) -> Result<Hosts, ApiError> {
        let mut fleet = Fleet::default();
        let arns = match service {
            Some(service) => {
                let tasks = self.task_arns(cluster, Some(service), None, &mut fleet.calls).await?;
                for batch in tasks.chunks(ECS_BATCH) {
                    self.describe_tasks(cluster, batch, false, &mut fleet).await?;
                }
                fleet.tasks.iter().filter_map(|task| task.container_instance.clone()).collect()
            }
            None => self.container_instances(cluster).await?,
        };
        let found = self.container_instances_by_id(cluster, &arns, &mut fleet.calls).await?;
        let ids = found.values().filter_map(|host| InstanceId::new(&host.instance_id)).collect();
        let mut hosts = self.reachable(ids).await?;
        for task in fleet.tasks {
            hosts.targets.insert(task.id);
            hosts.targets.extend(task.containers.into_iter().filter_map(|container| container.runtime_id));
        }
        Ok(hosts)
    }

    /// The hosts that an experiment's commands went to, by SSM's memory.
    pub(crate) async fn hosts_of(&self, experiment: &ExperimentId) -> Result<Hosts, ApiError> {
        let (ids, looked) = self.hosts_of_experiment(experiment).await?;
        Ok(Hosts { looked: Some(looked), ..self.reachable(ids).await? })
    }

    /// Sorts out the hosts that are not Online. A terminated one goes on to show as Online for minutes.
    pub(crate) async fn reachable(&self, ids: BTreeSet<InstanceId>) -> Result<Hosts, ApiError> {
        let managed = self.managed(&ids, &mut 0).await?;
        let mut hosts = Hosts::default();
        for id in ids {
            match managed.get(id.as_str()) {
                Some(row) if row.ping_status == "Online" => hosts.online.push(id),
                Some(row) => hosts.silent.push((id, format!("its SSM agent is {}", row.ping_status))),
                None => hosts.gone.push((id, "Systems Manager does not manage it (any more)".to_owned())),
            }
        }
        Ok(hosts)
    }

    async fn container_instances(&self, cluster: &str) -> Result<BTreeSet<String>, ApiError> {
        let mut arns = BTreeSet::new();
        let mut token = None;
        loop {
            let request = self.ecs.list_container_instances().cluster(cluster).set_next_token(token);
            let page = self.call("ecs:ListContainerInstances", request.send()).await?;
            arns.extend(page.container_instance_arns.unwrap_or_default());
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(arns);
            }
        }
    }
}
