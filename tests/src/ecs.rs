//! What the ECS container agent offers on an instance: its introspection API and its metadata files.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming};
use serde_json::{Value, json};

use crate::{docker::Container, netns::Namespace, server::Server};

/// Region, account and cluster of [`task_arn`].
const CLUSTER: &str = "shop";

pub fn task_arn(id: &str) -> String {
    format!("arn:aws:ecs:eu-west-1:123456789012:task/{CLUSTER}/{id}")
}

/// One task as `/v1/tasks` lists it (amazon-ecs-agent, handlers/v1/response.go).
pub fn listed(id: &str, containers: &[&Container<'_>]) -> Value {
    let containers = containers.iter().map(|container| {
        json!({ "DockerId": container.id, "DockerName": format!("ecs-shop-1-{}-0a1b", container.name),
                "Name": container.name })
    });
    json!({ "Arn": task_arn(id), "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING", "Family": "shop",
            "Version": "1", "Containers": containers.collect::<Vec<_>>() })
}

/// Writes the metadata files of a task below `data`, as the ECS agent does below /var/lib/ecs/data.
pub fn write_metadata(data: &Path, task: &str, containers: &[&Container<'_>]) -> Result<()> {
    for container in containers {
        let directory = data.join("metadata").join(CLUSTER).join(task).join(&container.name);
        fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
        let metadata = json!({
            "Cluster": CLUSTER, "TaskARN": task_arn(task), "ContainerID": container.id,
            "ContainerName": container.name, "DockerContainerName": format!("/{}", container.name),
            "MetadataFileStatus": "READY",
        });
        fs::write(directory.join("ecs-container-metadata.json"), metadata.to_string())?;
    }
    Ok(())
}

/// The introspection API on the instance's loopback.
#[derive(Debug)]
pub struct Introspection(Server);

impl Introspection {
    pub fn start(namespace: &Namespace, tasks: Vec<Value>) -> Result<Self> {
        Self::at(namespace, 0, tasks)
    }

    /// On a port of the caller's choice; the ECS agent's own is 51678.
    pub fn at(namespace: &Namespace, port: u16, tasks: Vec<Value>) -> Result<Self> {
        Server::start(namespace, port, move |request| answer(request, &tasks)).map(Self)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }
}

fn answer(request: &Request<Incoming>, tasks: &[Value]) -> Response<Full<Bytes>> {
    let query = request.uri().query().unwrap_or_default();
    let body = match (request.uri().path(), query.split_once('=')) {
        ("/v1/metadata", _) => Some(json!({ "Cluster": CLUSTER, "Version": "Amazon ECS Agent - v1.96.0" })),
        ("/v1/tasks", None) => Some(json!({ "Tasks": tasks })),
        ("/v1/tasks", Some(("taskarn", arn))) => tasks.iter().find(|task| task["Arn"] == arn).cloned(),
        _ => None,
    };
    let status = if body.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let mut response = Response::new(Full::from(body.unwrap_or_else(|| json!({})).to_string()));
    *response.status_mut() = status;
    response
}
