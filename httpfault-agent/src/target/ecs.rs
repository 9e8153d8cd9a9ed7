//! The containers of an ECS task: introspection API, else container metadata files, else Docker labels.

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use super::{Container, docker, http, metadata};
use crate::args::Sources;

/// `GET /v1/tasks` of the ECS agent introspection API.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tasks {
    #[serde(default)]
    tasks: Vec<Task>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Task {
    arn: String,
    #[serde(default)]
    containers: Vec<TaskContainer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TaskContainer {
    docker_id: String,
    name: String,
}

/// The containers of a task and the source that knew them. The error tells what each source said.
pub(super) async fn containers(
    task: &str,
    sources: &Sources,
) -> anyhow::Result<(&'static str, Vec<Container>)> {
    let introspection = match introspect(task, &sources.ecs_introspection_url).await {
        Ok(found) => return Ok(("introspection", found)),
        Err(why) => why,
    };
    let metadata = match metadata::containers(task, &sources.ecs_data_dir) {
        Ok(found) => return Ok(("metadata file", found)),
        Err(why) => why,
    };
    match docker::of_task(&sources.docker_socket, task).await {
        Ok(found) => Ok(("docker", found)),
        Err(docker) => bail!(
            "no source knows this task: ECS introspection: {introspection:#}; metadata files: {metadata:#}; \
             Docker: {docker:#}"
        ),
    }
}

/// Whether a task ARN is the one that was named, by ARN or by id.
pub(super) fn names(arn: &str, task: &str) -> bool {
    arn == task || arn.rsplit('/').next() == Some(task)
}

async fn introspect(task: &str, url: &str) -> anyhow::Result<Vec<Container>> {
    let known: Tasks = http::get(url, "/v1/tasks").await?;
    let found =
        known.tasks.into_iter().find(|known| names(&known.arn, task)).context("it is not on this host")?;
    ensure!(!found.containers.is_empty(), "it has no container yet");
    let container = |container: TaskContainer| Container {
        id: container.docker_id,
        name: container.name,
        task: Some(found.arn.clone()),
    };
    Ok(found.containers.into_iter().map(container).collect())
}
