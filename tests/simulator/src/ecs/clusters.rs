//! DescribeClusters.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{cluster_name, missing};
use crate::http::{ApiError, Context, read};
use crate::world::{Cluster, TaskStatus, World};

#[derive(Deserialize)]
struct Request {
    clusters: Option<Vec<String>>,
}

pub(super) fn describe(context: &mut Context<'_>, request: Value) -> Result<Value, ApiError> {
    let request: Request = read(request)?;
    let wanted = request.clusters.unwrap_or_else(|| vec!["default".to_owned()]);
    if wanted.len() > 100 {
        return Err(ApiError::invalid_parameter("Clusters cannot have more than 100 elements."));
    }
    let world = &context.state.world;
    let arns: Vec<String> = wanted.iter().map(|name| world.cluster_arn(cluster_name(Some(name)))).collect();
    for arn in &arns {
        context.authorize(std::slice::from_ref(arn), Some(arn))?;
    }
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    for (name, arn) in wanted.iter().zip(arns) {
        match world.clusters.iter().find(|cluster| cluster.name == cluster_name(Some(name))) {
            Some(cluster) => clusters.push(shape(world, cluster)),
            None => failures.push(missing(arn)),
        }
    }
    Ok(json!({ "clusters": clusters, "failures": failures }))
}

fn shape(world: &World, cluster: &Cluster) -> Value {
    let tasks = |status| cluster.tasks.iter().filter(|task| task.last_status == status).count();
    json!({
        "clusterArn": world.cluster_arn(&cluster.name),
        "clusterName": cluster.name,
        "status": cluster.status,
        "registeredContainerInstancesCount": cluster.container_instances.len(),
        "runningTasksCount": tasks(TaskStatus::Running),
        "pendingTasksCount": tasks(TaskStatus::Pending),
        "activeServicesCount": cluster.services.iter().filter(|service| service.status == "ACTIVE").count(),
        "statistics": [],
        "tags": [],
        "settings": [],
        "capacityProviders": [],
        "defaultCapacityProviderStrategy": [],
    })
}
