//! ListContainerInstances and DescribeContainerInstances.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{authorize_items, check_length, cluster, cluster_name, last_part, list_page, missing};
use crate::http::{ApiError, Context, read};
use crate::world::{Cluster, ContainerInstance, TaskStatus, World};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListRequest {
    cluster: Option<String>,
    filter: Option<String>,
    status: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescribeRequest {
    cluster: Option<String>,
    container_instances: Vec<String>,
}

pub(super) fn list(context: &mut Context<'_>, request: Value) -> Result<Value, ApiError> {
    let request: ListRequest = read(request)?;
    let world = &context.state.world;
    let arn = world.cluster_arn(cluster_name(request.cluster.as_deref()));
    context.authorize(std::slice::from_ref(&arn), Some(&arn))?;
    let cluster = cluster(context, request.cluster.as_deref())?;
    if request.filter.is_some() {
        return Err(ApiError::invalid_parameter("the simulator does not model the cluster query language"));
    }
    let wanted = |instance: &&ContainerInstance| {
        request.status.as_deref().is_none_or(|status| instance.status == status)
    };
    let instances = cluster.container_instances.iter().filter(wanted);
    let arns = instances.map(|instance| instance_arn(world, cluster, &instance.id)).collect();
    list_page("containerInstanceArns", arns, request.max_results, 100, request.next_token.as_deref())
}

pub(super) fn describe(context: &mut Context<'_>, request: Value) -> Result<Value, ApiError> {
    let request: DescribeRequest = read(request)?;
    authorize_items(context, "container-instance", request.cluster.as_deref(), &request.container_instances)?;
    let cluster = cluster(context, request.cluster.as_deref())?;
    check_length("Container instances", &request.container_instances, 100)?;
    let world = &context.state.world;
    let (mut instances, mut failures) = (Vec::new(), Vec::new());
    for wanted in &request.container_instances {
        let id = last_part(wanted);
        match cluster.container_instances.iter().find(|instance| instance.id == id) {
            Some(instance) => instances.push(shape(world, cluster, instance)),
            None => failures.push(missing(instance_arn(world, cluster, id))),
        }
    }
    Ok(json!({ "containerInstances": instances, "failures": failures }))
}

fn instance_arn(world: &World, cluster: &Cluster, id: &str) -> String {
    world.ecs_arn("container-instance", &format!("{}/{id}", cluster.name))
}

fn shape(world: &World, cluster: &Cluster, instance: &ContainerInstance) -> Value {
    let here = || {
        cluster.tasks.iter().filter(|task| task.ec2_instance_id.as_ref() == Some(&instance.ec2_instance_id))
    };
    let count = |status| here().filter(|task| task.last_status == status).count();
    let attribute = |(name, value): (&String, &String)| match value.is_empty() {
        true => json!({ "name": name }),
        false => json!({ "name": name, "value": value }),
    };
    json!({
        "containerInstanceArn": instance_arn(world, cluster, &instance.id),
        "ec2InstanceId": instance.ec2_instance_id,
        "version": 1,
        "versionInfo": { "agentVersion": "1.106.1", "agentHash": "0000000", "dockerVersion": "DockerVersion: 25.0.16" },
        "status": instance.status,
        "agentConnected": instance.agent_connected,
        "runningTasksCount": count(TaskStatus::Running),
        "pendingTasksCount": count(TaskStatus::Pending),
        "attributes": instance.attributes.iter().map(attribute).collect::<Vec<_>>(),
        "attachments": [],
        "tags": [],
        "remainingResources": [],
        "registeredResources": [],
    })
}
