//! The containers of an ECS task: introspection API, else container metadata files, else Docker labels.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use super::{Container, docker, http};
use crate::args::Sources;

/// `GET /v1/tasks` of the ECS agent introspection API.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tasks {
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

/// A container metadata file (ECS_ENABLE_CONTAINER_METADATA).
#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "TaskARN")]
    task_arn: String,
    #[serde(rename = "ContainerID")]
    container_id: String,
    #[serde(rename = "ContainerName")]
    container_name: String,
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
    let metadata = match metadata_files(task, &sources.ecs_data_dir) {
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
    let containers = found.containers.into_iter();
    Ok(containers.map(|container| Container { id: container.docker_id, name: container.name }).collect())
}

fn metadata_files(task: &str, data_dir: &Path) -> anyhow::Result<Vec<Container>> {
    let root = data_dir.join("metadata");
    let mut files = Vec::new();
    collect(&root, 0, &mut files).with_context(|| format!("reading {}", root.display()))?;
    let mut found = Vec::new();
    for file in files {
        // A file that is being written, or of a task that ends, is not the one that is looked for.
        let Ok(text) = fs::read(&file) else { continue };
        let Ok(metadata) = serde_json::from_slice::<Metadata>(&text) else { continue };
        if names(&metadata.task_arn, task) {
            found.push(Container { id: metadata.container_id, name: metadata.container_name });
        }
    }
    ensure!(!found.is_empty(), "no file under {} is of this task", root.display());
    Ok(found)
}

/// `<cluster>/<task>/<container>/ecs-container-metadata.json`; without the cluster for short ARNs.
fn collect(dir: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    const MAX_DEPTH: usize = 3;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && depth < MAX_DEPTH {
            collect(&entry.path(), depth + 1, files)?;
        } else if entry.file_name() == "ecs-container-metadata.json" {
            files.push(entry.path());
        }
    }
    Ok(())
}
