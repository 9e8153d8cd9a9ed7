//! ListServices and DescribeServices.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    authorize_items, check_length, cluster, cluster_name, last_part, launch_type, list_page, missing, tags,
};
use crate::http::{ApiError, Context, read};
use crate::world::{Cluster, LoadBalancer, Service, TaskStatus, World};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListRequest {
    cluster: Option<String>,
    launch_type: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct DescribeRequest {
    cluster: Option<String>,
    services: Vec<String>,
    #[serde(default)]
    include: Vec<String>,
}

/// Ten a page, unless asked for more: other than the lists of tasks and instances.
pub(super) fn list(context: &mut Context<'_>, request: Value) -> Result<Value, ApiError> {
    let request: ListRequest = read(request)?;
    let name = cluster_name(request.cluster.as_deref());
    let world = &context.state.world;
    context.authorize(&[context.any_resource()], Some(&world.cluster_arn(name)))?;
    let cluster = cluster(context, request.cluster.as_deref())?;
    let wanted = |service: &&Service| {
        let own = service.launch_type.map(launch_type);
        service.status != "INACTIVE"
            && request.launch_type.as_deref().is_none_or(|wanted| own == Some(wanted))
    };
    let services = cluster.services.iter().filter(wanted);
    let arns = services.map(|service| arn(world, cluster, &service.name)).collect();
    list_page("serviceArns", arns, request.max_results, 10, request.next_token.as_deref())
}

pub(super) fn describe(context: &mut Context<'_>, request: Value) -> Result<Value, ApiError> {
    let request: DescribeRequest = read(request)?;
    authorize_items(context, "service", request.cluster.as_deref(), &request.services)?;
    let cluster = cluster(context, request.cluster.as_deref())?;
    check_length("Services", &request.services, 10)?;
    let world = &context.state.world;
    let (mut services, mut failures) = (Vec::new(), Vec::new());
    for wanted in &request.services {
        let name = last_part(wanted);
        match cluster.services.iter().find(|service| service.name == name) {
            Some(service) => {
                let mut shape = shape(world, cluster, service);
                if request.include.iter().any(|field| field == "TAGS") {
                    shape["tags"] = tags(&service.tags);
                }
                services.push(shape);
            }
            None => failures.push(missing(arn(world, cluster, name))),
        }
    }
    Ok(json!({ "services": services, "failures": failures }))
}

fn arn(world: &World, cluster: &Cluster, service: &str) -> String {
    world.ecs_arn("service", &format!("{}/{service}", cluster.name))
}

fn shape(world: &World, cluster: &Cluster, service: &Service) -> Value {
    let group = format!("service:{}", service.name);
    let tasks = || cluster.tasks.iter().filter(|task| task.group == group);
    let count = |status| tasks().filter(|task| task.last_status == status).count();
    let wanted = tasks().filter(|task| task.desired_status == TaskStatus::Running);
    let balancer = |one: &LoadBalancer| {
        json!({
            "targetGroupArn": one.target_group_arn,
            "containerName": one.container_name,
            "containerPort": one.container_port,
        })
    };
    let mut shape = json!({
        "serviceArn": arn(world, cluster, &service.name),
        "serviceName": service.name,
        "clusterArn": world.cluster_arn(&cluster.name),
        "status": service.status,
        "desiredCount": service.desired_count.unwrap_or(wanted.count()),
        "runningCount": count(TaskStatus::Running),
        "pendingCount": count(TaskStatus::Pending),
        "taskDefinition": world.ecs_arn("task-definition", &service.definition()),
        "loadBalancers": service.load_balancers.iter().map(balancer).collect::<Vec<_>>(),
        "serviceRegistries": [],
        "deployments": [],
        "events": [],
        "placementConstraints": [],
        "placementStrategy": [],
        "schedulingStrategy": "REPLICA",
        "enableECSManagedTags": false,
        "enableExecuteCommand": false,
        "propagateTags": "NONE",
    });
    if let Some(own) = service.launch_type {
        shape["launchType"] = json!(launch_type(own));
    }
    if let Some(provider) = &service.capacity_provider {
        shape["capacityProviderStrategy"] = json!([{ "capacityProvider": provider, "weight": 1, "base": 0 }]);
    }
    shape
}
