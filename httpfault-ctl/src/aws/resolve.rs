//! Looks up everything that a plan needs, page by page and in batches of the APIs' sizes.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecs::types as ecs;
use aws_sdk_ssm::types::InstanceInformationStringFilter;
use aws_smithy_types::DateTime;
use jiff::Timestamp;

use super::{
    config::Cloud,
    error::ApiError,
    limit::{ECS_BATCH, SSM_BATCH},
    rights::Optional,
    services::by_key,
};
use crate::{
    fleet::{Container, Fleet, Host, Inquiry, InstanceId, Managed, Task},
    tunables::TaskChoice,
};

/// Why there is no fleet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(
        "cluster {cluster} does not exist in this region and account, or is {status}; correct CLUSTER_NAME or REGION"
    )]
    Cluster { cluster: String, status: String },
    #[error("service {service} does not exist in cluster {cluster}, or is {status}; correct SERVICE_NAME")]
    Service { service: String, cluster: String, status: String },
}

impl Cloud {
    /// The cluster as far as the inquiry concerns it.
    pub(crate) async fn fleet(&self, cluster: &str, wanted: &Inquiry<'_>) -> Result<Fleet, ResolveError> {
        let mut fleet = Fleet::default();
        self.check_cluster(cluster).await?;
        fleet.calls += 1;
        let tasks = match wanted.choice {
            TaskChoice::Tasks(tasks) => tasks.clone(),
            TaskChoice::Service(service) => {
                let found = self.service(cluster, service, wanted).await?;
                fleet.services.insert(found.group(), found);
                fleet.calls += 1;
                self.task_arns(cluster, Some(service), None, &mut fleet.calls).await?
            }
            TaskChoice::AllTasks => self.task_arns(cluster, None, None, &mut fleet.calls).await?,
        };
        for batch in tasks.chunks(ECS_BATCH) {
            fleet.calls += 1;
            self.describe_tasks(cluster, batch, wanted.tags, &mut fleet).await?;
        }
        if !matches!(wanted.choice, TaskChoice::Service(_)) {
            self.services_behind(cluster, wanted, &mut fleet).await?;
        }
        let arns: BTreeSet<String> =
            fleet.tasks.iter().filter_map(|t| t.container_instance.clone()).collect();
        fleet.hosts = self.container_instances_by_id(cluster, &arns, &mut fleet.calls).await?;
        let instances = fleet.hosts.values().filter_map(|host| InstanceId::new(&host.instance_id)).collect();
        fleet.managed = self.managed(&instances, &mut fleet.calls).await?;
        self.learn_rights(&mut fleet.calls).await?;
        for definition in unclear_definitions(&fleet.tasks, wanted.port) {
            fleet.calls += 1;
            let ports = self.declared_ports(&definition).await;
            let Some(ports) = self.unless_denied(Optional::DescribeTaskDefinition, ports)? else { break };
            fleet.declared.insert(definition, ports);
        }
        fleet.lacking = self.lacking();
        Ok(fleet)
    }

    /// Tasks of a group (`service:web`) that started after `since`.
    pub(crate) async fn newer_tasks(
        &self,
        cluster: &str,
        group: &str,
        since: Timestamp,
    ) -> Result<Vec<Task>, ApiError> {
        let Some(service) = group.strip_prefix("service:") else { return Ok(Vec::new()) };
        let mut fleet = Fleet::default();
        let arns = self.task_arns(cluster, Some(service), None, &mut fleet.calls).await?;
        for batch in arns.chunks(ECS_BATCH) {
            self.describe_tasks(cluster, batch, false, &mut fleet).await?;
        }
        fleet.tasks.retain(|task| task.started_at.is_none_or(|at| at >= since));
        Ok(fleet.tasks)
    }

    /// These tasks as they are now; those that ECS no longer knows are missing.
    pub(crate) async fn tasks(&self, cluster: &str, arns: &[String]) -> Result<Vec<Task>, ApiError> {
        let mut fleet = Fleet::default();
        for batch in arns.chunks(ECS_BATCH) {
            self.describe_tasks(cluster, batch, false, &mut fleet).await?;
        }
        Ok(fleet.tasks)
    }

    async fn check_cluster(&self, cluster: &str) -> Result<(), ResolveError> {
        let request = self.ecs.describe_clusters().clusters(cluster);
        let output = self.call("ecs:DescribeClusters", request.send()).await?;
        let found = output.clusters.unwrap_or_default().into_iter().next();
        let status = found.and_then(|cluster| cluster.status).unwrap_or_else(|| "MISSING".to_owned());
        if status == "ACTIVE" {
            return Ok(());
        }
        Err(ResolveError::Cluster { cluster: cluster.to_owned(), status })
    }

    pub(super) async fn task_arns(
        &self,
        cluster: &str,
        service: Option<&str>,
        family: Option<&str>,
        calls: &mut u32,
    ) -> Result<Vec<String>, ApiError> {
        let mut arns = Vec::new();
        let mut token = None;
        loop {
            *calls += 1;
            let request = self
                .ecs
                .list_tasks()
                .cluster(cluster)
                .set_service_name(service.map(str::to_owned))
                .set_family(family.map(str::to_owned))
                .desired_status(ecs::DesiredStatus::Running)
                .set_next_token(token);
            let page = self.call("ecs:ListTasks", request.send()).await?;
            arns.extend(page.task_arns.unwrap_or_default());
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(arns);
            }
        }
    }

    pub(super) async fn describe_tasks(
        &self,
        cluster: &str,
        tasks: &[String],
        tags: bool,
        fleet: &mut Fleet,
    ) -> Result<(), ApiError> {
        let request = self.ecs.describe_tasks().cluster(cluster).set_tasks(Some(tasks.to_vec()));
        let request = request.set_include(tags.then(|| vec![ecs::TaskField::Tags]));
        let output = self.call("ecs:DescribeTasks", request.send()).await?;
        fleet.tasks.extend(output.tasks.unwrap_or_default().into_iter().map(task));
        for failure in output.failures.unwrap_or_default() {
            let arn = failure.arn.unwrap_or_default();
            fleet.unknown_tasks.push((last_part(&arn), failure.reason.unwrap_or_default()));
        }
        Ok(())
    }

    /// By the last part of their ARNs, which is the same in the short and the long format.
    pub(super) async fn container_instances_by_id(
        &self,
        cluster: &str,
        arns: &BTreeSet<String>,
        calls: &mut u32,
    ) -> Result<BTreeMap<String, Host>, ApiError> {
        let mut hosts = BTreeMap::new();
        let arns: Vec<String> = arns.iter().cloned().collect();
        for batch in arns.chunks(ECS_BATCH) {
            *calls += 1;
            let request = self
                .ecs
                .describe_container_instances()
                .cluster(cluster)
                .set_container_instances(Some(batch.to_vec()));
            let output = self.call("ecs:DescribeContainerInstances", request.send()).await?;
            for instance in output.container_instances.unwrap_or_default() {
                let Some(arn) = instance.container_instance_arn.clone() else { continue };
                hosts.insert(last_part(&arn), host(instance));
            }
        }
        Ok(hosts)
    }

    /// What SSM knows about these instances; those it does not manage are missing.
    pub(super) async fn managed(
        &self,
        instances: &BTreeSet<InstanceId>,
        calls: &mut u32,
    ) -> Result<BTreeMap<String, Managed>, ApiError> {
        let mut managed = BTreeMap::new();
        let ids: Vec<String> = instances.iter().map(ToString::to_string).collect();
        for batch in ids.chunks(SSM_BATCH) {
            let filter = InstanceInformationStringFilter::builder()
                .key("InstanceIds")
                .set_values(Some(batch.to_vec()))
                .build()
                .ok();
            let mut token = None;
            loop {
                *calls += 1;
                let request = self
                    .ssm
                    .describe_instance_information()
                    .set_filters(filter.clone().map(|filter| vec![filter]))
                    .max_results(SSM_BATCH as i32)
                    .set_next_token(token);
                let page = self.call("ssm:DescribeInstanceInformation", request.send()).await?;
                for row in page.instance_information_list.unwrap_or_default() {
                    let Some(id) = row.instance_id else { continue };
                    let word = |text: Option<&str>| text.unwrap_or("unknown").to_owned();
                    let row = Managed {
                        ping_status: word(row.ping_status.as_ref().map(|status| status.as_str())),
                        platform_type: word(row.platform_type.as_ref().map(|kind| kind.as_str())),
                        platform_name: row.platform_name.unwrap_or_default(),
                    };
                    managed.insert(id, row);
                }
                token = page.next_token.filter(|token| !token.is_empty());
                if token.is_none() {
                    break;
                }
            }
        }
        Ok(managed)
    }

    async fn declared_ports(&self, definition: &str) -> Result<BTreeMap<String, Vec<u16>>, ApiError> {
        let request = self.ecs.describe_task_definition().task_definition(definition);
        let output = self.call("ecs:DescribeTaskDefinition", request.send()).await?;
        let containers = output.task_definition.and_then(|definition| definition.container_definitions);
        let ports = |container: &ecs::ContainerDefinition| -> Vec<u16> {
            let mappings = container.port_mappings.iter().flatten();
            mappings.filter_map(|mapping| u16::try_from(mapping.container_port?).ok()).collect()
        };
        let containers = containers.unwrap_or_default();
        Ok(containers.iter().map(|c| (c.name.clone().unwrap_or_default(), ports(c))).collect())
    }
}

/// Definitions of tasks with several containers none of which has the port bound to the host: awsvpc and host mode
/// show no bindings.
fn unclear_definitions(tasks: &[Task], port: u16) -> BTreeSet<String> {
    let bound = |task: &Task| task.containers.iter().any(|container| container.bound_ports.contains(&port));
    let unclear = tasks.iter().filter(|task| task.containers.len() > 1 && !bound(task));
    unclear.map(|task| task.definition.clone()).filter(|definition| !definition.is_empty()).collect()
}

fn task(found: ecs::Task) -> Task {
    let arn = found.task_arn.unwrap_or_default();
    let container = |c: ecs::Container| Container {
        name: c.name.unwrap_or_default(),
        runtime_id: c.runtime_id.filter(|id| id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')),
        bound_ports: c
            .network_bindings
            .iter()
            .flatten()
            .filter_map(|binding| u16::try_from(binding.container_port?).ok())
            .collect(),
    };
    Task {
        id: last_part(&arn),
        last_status: found.last_status.unwrap_or_default(),
        desired_status: found.desired_status.unwrap_or_default(),
        // Tasks of a capacity provider may show none; what has a container instance is on EC2.
        launch_type: match found.launch_type {
            Some(kind) => kind.as_str().to_owned(),
            None if found.container_instance_arn.is_some() => "EC2".to_owned(),
            None => found.capacity_provider_name.unwrap_or_default(),
        },
        definition: found.task_definition_arn.unwrap_or_default(),
        group: found.group.unwrap_or_default(),
        tags: by_key(found.tags),
        container_instance: found.container_instance_arn.as_deref().map(last_part),
        created_at: found.created_at.and_then(moment),
        started_at: found.started_at.and_then(moment),
        containers: found.containers.unwrap_or_default().into_iter().map(container).collect(),
        arn,
    }
}

fn host(found: ecs::ContainerInstance) -> Host {
    let attributes = found.attributes.unwrap_or_default();
    let attribute =
        |name: &str| attributes.iter().find(|a| a.name == name).map(|a| a.value.clone().unwrap_or_default());
    Host {
        instance_id: found.ec2_instance_id.unwrap_or_default(),
        os_type: attribute("ecs.os-type"),
        cpu_architecture: attribute("ecs.cpu-architecture"),
        bottlerocket: attribute("bottlerocket.variant").is_some(),
        zone: attribute("ecs.availability-zone"),
    }
}

fn moment(at: DateTime) -> Option<Timestamp> {
    Timestamp::from_millisecond(at.to_millis().ok()?).ok()
}

/// The id at the end of an ARN.
fn last_part(arn: &str) -> String {
    arn.rsplit('/').next().unwrap_or(arn).to_owned()
}
