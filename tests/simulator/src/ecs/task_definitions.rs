//! DescribeTaskDefinition. The world has no task definitions of its own: one follows from the tasks that use it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::last_part;
use crate::http::{ApiError, Context, read};
use crate::world::{Container, LaunchType, NetworkMode, Task, World};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    task_definition: String,
}

/// `family:revision`, an ARN, or a family alone for its newest revision.
pub(super) fn describe(context: &mut Context<'_>, request: Value) -> Result<Value, ApiError> {
    let request: Request = read(request)?;
    context.authorize(&["*".to_owned()], None)?;
    let wanted = last_part(&request.task_definition);
    let world = &context.state.world;
    let tasks = world.clusters.iter().flat_map(|cluster| &cluster.tasks);
    let named = tasks.filter(|task| task.task_definition == wanted || family(task) == wanted);
    let task = named.max_by_key(|task| revision(task));
    let task = task.ok_or_else(|| ApiError::new("ClientException", "Unable to describe task definition."))?;
    Ok(json!({ "taskDefinition": shape(world, task), "tags": [] }))
}

fn family(task: &Task) -> &str {
    task.task_definition.split(':').next().unwrap_or_default()
}

fn revision(task: &Task) -> u32 {
    task.task_definition.split(':').nth(1).and_then(|revision| revision.parse().ok()).unwrap_or(1)
}

fn shape(world: &World, task: &Task) -> Value {
    let compatibility = match task.launch_type {
        LaunchType::Ec2 => "EC2",
        LaunchType::Fargate => "FARGATE",
        LaunchType::External => "EXTERNAL",
    };
    json!({
        "taskDefinitionArn": world.ecs_arn("task-definition", &task.task_definition),
        "family": family(task),
        "revision": revision(task),
        "status": "ACTIVE",
        "networkMode": mode(task.network_mode),
        "requiresCompatibilities": [compatibility],
        "compatibilities": [compatibility],
        "cpu": "256",
        "memory": "512",
        "volumes": [],
        "placementConstraints": [],
        "containerDefinitions": task.containers.iter().map(|one| container(task, one)).collect::<Vec<_>>(),
    })
}

fn container(task: &Task, container: &Container) -> Value {
    let mapping = |port: &crate::world::Port| {
        let host = if task.network_mode == NetworkMode::Bridge { 0 } else { port.container };
        json!({ "containerPort": port.container, "hostPort": host, "protocol": "tcp" })
    };
    json!({
        "name": container.name,
        "image": container.image,
        "essential": true,
        "cpu": 0,
        "portMappings": container.ports.iter().map(mapping).collect::<Vec<_>>(),
        "environment": [],
        "mountPoints": [],
        "volumesFrom": [],
    })
}

fn mode(mode: NetworkMode) -> &'static str {
    match mode {
        NetworkMode::Bridge => "bridge",
        NetworkMode::Host => "host",
        NetworkMode::Awsvpc => "awsvpc",
        NetworkMode::None => "none",
    }
}
