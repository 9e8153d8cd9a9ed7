//! Elastic Container Service: what there is in a cluster. Nothing here changes the world; tests do.

mod clusters;
mod container_instances;
mod services;
mod task_definitions;
mod tasks;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::http::{ApiError, Context, page};
use crate::world::{Cluster, LaunchType, TaskStatus};

/// Carries out one action.
pub(crate) fn dispatch(context: &mut Context<'_>, action: &str, request: Value) -> Result<Value, ApiError> {
    match action {
        "DescribeClusters" => clusters::describe(context, request),
        "ListTasks" => tasks::list(context, request),
        "DescribeTasks" => tasks::describe(context, request),
        "ListServices" => services::list(context, request),
        "DescribeServices" => services::describe(context, request),
        "ListContainerInstances" => container_instances::list(context, request),
        "DescribeContainerInstances" => container_instances::describe(context, request),
        "DescribeTaskDefinition" => task_definitions::describe(context, request),
        _ => Err(ApiError::new(
            "UnknownOperationException",
            format!("the simulator does not model ecs:{action}"),
        )),
    }
}

/// The short name in a name or ARN; `default` if there is none, as for AWS.
fn cluster_name(given: Option<&str>) -> &str {
    last_part(given.unwrap_or("default"))
}

/// An active cluster, by name or ARN.
fn cluster<'a>(context: &'a Context<'_>, given: Option<&str>) -> Result<&'a Cluster, ApiError> {
    let name = cluster_name(given);
    let found = context.state.world.clusters.iter().find(|cluster| cluster.name == name);
    found
        .filter(|cluster| cluster.status == "ACTIVE")
        .ok_or_else(|| ApiError::new("ClusterNotFoundException", "Cluster not found."))
}

/// The caller must be allowed to do it on `KIND/CLUSTER/ITEM` for each item.
fn authorize_items(
    context: &Context<'_>,
    kind: &str,
    cluster: Option<&str>,
    items: &[String],
) -> Result<(), ApiError> {
    let name = cluster_name(cluster);
    let world = &context.state.world;
    let arns: Vec<String> =
        items.iter().map(|item| world.ecs_arn(kind, &format!("{name}/{}", last_part(item)))).collect();
    context.authorize(&arns, Some(&world.cluster_arn(name)))
}

/// Ids may be given as ARNs.
fn last_part(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// Tags as ECS lists them, where they were asked for.
fn tags(tags: &BTreeMap<String, String>) -> Value {
    tags.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

/// Identifiers that are not there.
fn missing(arn: String) -> Value {
    json!({ "arn": arn, "reason": "MISSING" })
}

/// `{member: page, nextToken}`.
fn list_page(
    member: &str,
    all: Vec<String>,
    size: Option<usize>,
    default: usize,
    token: Option<&str>,
) -> Result<Value, ApiError> {
    let size = size.unwrap_or(default);
    if !(1..=100).contains(&size) {
        return Err(ApiError::invalid_parameter("maxResults must be between 1 and 100"));
    }
    let invalid = || ApiError::invalid_parameter("Invalid token.");
    let (items, next) = page(all, size, token, invalid)?;
    let mut answer = json!({ member: items });
    if let Some(next) = next {
        answer["nextToken"] = json!(next);
    }
    Ok(answer)
}

/// A list of identifiers, which may neither be empty nor longer than `limit`.
fn check_length(what: &str, items: &[String], limit: usize) -> Result<(), ApiError> {
    if items.is_empty() {
        return Err(ApiError::invalid_parameter(format!("{what} can not be empty.")));
    }
    if items.len() > limit {
        return Err(ApiError::invalid_parameter(format!("{what} can have at most {limit} items.")));
    }
    Ok(())
}

fn launch_type(launch_type: LaunchType) -> &'static str {
    match launch_type {
        LaunchType::Ec2 => "EC2",
        LaunchType::Fargate => "FARGATE",
        LaunchType::External => "EXTERNAL",
    }
}

fn task_status(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Provisioning => "PROVISIONING",
        TaskStatus::Pending => "PENDING",
        TaskStatus::Running => "RUNNING",
        TaskStatus::Deactivating => "DEACTIVATING",
        TaskStatus::Stopping => "STOPPING",
        TaskStatus::Stopped => "STOPPED",
    }
}

fn epoch(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}
