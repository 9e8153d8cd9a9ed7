//! ListTasks and DescribeTasks.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    authorize_items, check_length, cluster, cluster_name, epoch, last_part, launch_type, list_page, missing,
    tags, task_status,
};
use crate::http::{ApiError, Context, read};
use crate::world::{Cluster, Container, NetworkMode, Task, TaskStatus, World};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListRequest {
    cluster: Option<String>,
    container_instance: Option<String>,
    family: Option<String>,
    service_name: Option<String>,
    desired_status: Option<String>,
    launch_type: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct DescribeRequest {
    cluster: Option<String>,
    tasks: Vec<String>,
    #[serde(default)]
    include: Vec<String>,
}

/// Running ones unless `desiredStatus` says otherwise.
pub(super) fn list(context: &mut Context<'_>, request: Value) -> Result<Value, ApiError> {
    let request: ListRequest = read(request)?;
    // ListTasks is authorized on the container instances of the cluster, not on the cluster.
    authorize_items(context, "container-instance", request.cluster.as_deref(), &["*".to_owned()])?;
    let cluster = cluster(context, request.cluster.as_deref())?;
    if let Some(name) = &request.service_name
        && !cluster.services.iter().any(|service| service.name == last_part(name))
    {
        return Err(ApiError::new("ServiceNotFoundException", "Service not found."));
    }
    let desired = match request.desired_status.as_deref() {
        None | Some("RUNNING") => TaskStatus::Running,
        Some("STOPPED") => TaskStatus::Stopped,
        Some("PENDING") => TaskStatus::Pending,
        Some(other) => {
            return Err(ApiError::invalid_parameter(format!("desiredStatus {other} is not valid")));
        }
    };
    let host = match &request.container_instance {
        None => None,
        Some(id) => Some(host_of(cluster, id)?),
    };
    let world = &context.state.world;
    let wanted = |task: &&Task| {
        let service = request.service_name.as_deref().map(|name| format!("service:{}", last_part(name)));
        task.desired_status == desired
            && service.is_none_or(|group| task.group == group)
            && request
                .family
                .as_deref()
                .is_none_or(|family| task.task_definition.split(':').next() == Some(family))
            && request.launch_type.as_deref().is_none_or(|wanted| wanted == launch_type(task.launch_type))
            && host.as_ref().is_none_or(|host| task.ec2_instance_id.as_ref() == Some(host))
    };
    let arns = cluster.tasks.iter().filter(wanted).map(|task| arn(world, cluster, task)).collect();
    list_page("taskArns", arns, request.max_results, 100, request.next_token.as_deref())
}

fn host_of(cluster: &Cluster, id: &str) -> Result<String, ApiError> {
    let instance = cluster.container_instances.iter().find(|instance| instance.id == last_part(id));
    let instance = instance.ok_or_else(|| ApiError::invalid_parameter("Container instance not found."))?;
    Ok(instance.ec2_instance_id.clone())
}

pub(super) fn describe(context: &mut Context<'_>, request: Value) -> Result<Value, ApiError> {
    let request: DescribeRequest = read(request)?;
    authorize_items(context, "task", request.cluster.as_deref(), &request.tasks)?;
    let cluster = cluster(context, request.cluster.as_deref())?;
    check_length("Tasks", &request.tasks, 100)?;
    let world = &context.state.world;
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for wanted in &request.tasks {
        let id = last_part(wanted);
        match cluster.tasks.iter().find(|task| task.id == id) {
            Some(task) => {
                let mut shape = shape(world, cluster, task);
                if request.include.iter().any(|field| field == "TAGS") {
                    shape["tags"] = tags(&task.tags);
                }
                tasks.push(shape);
            }
            None => failures.push(missing(world.task_arn(cluster_name(request.cluster.as_deref()), id))),
        }
    }
    Ok(json!({ "tasks": tasks, "failures": failures }))
}

fn shape(world: &World, cluster: &Cluster, task: &Task) -> Value {
    let attachment = world.ecs_arn("attachment", &format!("{}/{}", cluster.name, task.id));
    let eni = task.network_mode == NetworkMode::Awsvpc;
    let host = task.ec2_instance_id.as_ref();
    let instance =
        host.and_then(|id| cluster.container_instances.iter().find(|one| one.ec2_instance_id == *id));
    let mut shape = json!({
        "taskArn": arn(world, cluster, task),
        "clusterArn": world.cluster_arn(&cluster.name),
        "taskDefinitionArn": world.ecs_arn("task-definition", &task.task_definition),
        "lastStatus": task_status(task.last_status),
        "desiredStatus": task_status(task.desired_status),
        "group": task.group,
        "connectivity": "CONNECTED",
        "healthStatus": "UNKNOWN",
        "cpu": "256",
        "memory": "512",
        "version": 1,
        "enableExecuteCommand": false,
        "createdAt": epoch(task.created_at),
        "overrides": { "containerOverrides": [], "inferenceAcceleratorOverrides": [] },
        "tags": [],
        "attributes": [],
        "attachments": if eni { vec![interface(&attachment)] } else { Vec::new() },
        "containers": task.containers.iter().map(|one| container(world, cluster, task, one)).collect::<Vec<_>>(),
    });
    match &task.capacity_provider {
        Some(name) => shape["capacityProviderName"] = json!(name),
        None => shape["launchType"] = json!(launch_type(task.launch_type)),
    }
    if let Some(instance) = instance {
        let path = match task.short_arns {
            true => instance.id.clone(),
            false => format!("{}/{}", cluster.name, instance.id),
        };
        shape["containerInstanceArn"] = json!(world.ecs_arn("container-instance", &path));
    }
    if let (Some(reason), Some(at)) = (&task.stopped_reason, task.stopped_at) {
        shape["stoppedReason"] = json!(reason);
        shape["stoppedAt"] = json!(epoch(at));
        shape["stopCode"] = json!("UserInitiated");
    }
    if task.last_status == TaskStatus::Running {
        shape["startedAt"] = json!(epoch(task.created_at));
    }
    shape
}

fn arn(world: &World, cluster: &Cluster, task: &Task) -> String {
    match task.short_arns {
        true => world.ecs_arn("task", &task.id),
        false => world.task_arn(&cluster.name, &task.id),
    }
}

fn interface(arn: &str) -> Value {
    json!({
        "id": last_part(arn),
        "type": "ElasticNetworkInterface",
        "status": "ATTACHED",
        "details": [{ "name": "privateIPv4Address", "value": "10.0.0.20" }],
    })
}

fn container(world: &World, cluster: &Cluster, task: &Task, container: &Container) -> Value {
    let path = format!("{}/{}/{}", cluster.name, task.id, container.name);
    let binding = |port: &crate::world::Port| json!({ "bindIP": "0.0.0.0", "containerPort": port.container, "hostPort": port.host, "protocol": "tcp" });
    let running = container.last_status == TaskStatus::Running;
    // awsvpc tasks have interfaces in the place of bindings.
    let bindings: Vec<Value> = match task.network_mode {
        NetworkMode::Bridge | NetworkMode::Host if running => container.ports.iter().map(binding).collect(),
        NetworkMode::Bridge | NetworkMode::Host | NetworkMode::Awsvpc | NetworkMode::None => Vec::new(),
    };
    let interfaces = match task.network_mode {
        NetworkMode::Awsvpc => vec![json!({ "attachmentId": task.id, "privateIpv4Address": "10.0.0.20" })],
        NetworkMode::Bridge | NetworkMode::Host | NetworkMode::None => Vec::new(),
    };
    let mut shape = json!({
        "containerArn": world.ecs_arn("container", &path),
        "taskArn": arn(world, cluster, task),
        "name": container.name,
        "image": container.image,
        "lastStatus": task_status(container.last_status),
        "networkBindings": bindings,
        "networkInterfaces": interfaces,
        "healthStatus": "UNKNOWN",
        "cpu": "0",
    });
    if let Some(id) = &container.runtime_id {
        shape["runtimeId"] = json!(id);
    }
    if let Some(code) = container.exit_code {
        shape["exitCode"] = json!(code);
    }
    shape
}
