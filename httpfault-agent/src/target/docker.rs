//! The Docker engine (Engine API v1.41: ContainerInspect, ContainerList).

use std::{collections::HashMap, path::Path};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::{Container, http};

const TASK_LABEL: &str = "com.amazonaws.ecs.task-arn";
const NAME_LABEL: &str = "com.amazonaws.ecs.container-name";
/// The containers that hold a task's network namespace open; they listen nowhere.
const PAUSE_PREFIX: &str = "~internal~ecs~pause";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
    id: String,
    name: String,
    state: State,
    config: Config,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    running: bool,
    pid: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    labels: Option<HashMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    id: String,
    #[serde(default)]
    labels: HashMap<String, String>,
}

/// A running container by id, id prefix or name.
pub(super) async fn container(socket: &Path, id_or_name: &str) -> anyhow::Result<Container> {
    let inspected = inspect(socket, id_or_name).await?;
    let label = inspected.config.labels.as_ref().and_then(|labels| labels.get(NAME_LABEL));
    let name = label.cloned().unwrap_or_else(|| inspected.name.trim_start_matches('/').to_owned());
    Ok(Container { id: inspected.id, name, task: None })
}

/// What the engine says of a running container.
pub(super) struct Known {
    /// Its first process.
    pub(super) pid: u32,
    /// The ARN of the ECS task that it is labelled with.
    pub(super) task: Option<String>,
}

/// Looks up a running container by its full id.
pub(super) async fn known(socket: &Path, id: &str) -> anyhow::Result<Known> {
    let inspected = inspect(socket, id).await?;
    ensure!(inspected.id == id, "the engine answered for container {}", inspected.id);
    let labels = inspected.config.labels.unwrap_or_default();
    Ok(Known { pid: inspected.state.pid, task: labels.get(TASK_LABEL).cloned() })
}

/// The containers of an ECS task, by the labels that the ECS agent sets; the task may be an id or an ARN.
pub(super) async fn of_task(socket: &Path, task: &str) -> anyhow::Result<Vec<Container>> {
    let listed: Vec<Listed> =
        http::get_unix(socket, "/containers/json").await.context("asking the Docker engine")?;
    let found: Vec<Container> = listed
        .into_iter()
        .filter(|container| container.labels.get(TASK_LABEL).is_some_and(|arn| super::ecs::names(arn, task)))
        .filter_map(|container| {
            let name = container.labels.get(NAME_LABEL)?.clone();
            let task = container.labels.get(TASK_LABEL).cloned();
            (!name.starts_with(PAUSE_PREFIX)).then_some(Container { id: container.id, name, task })
        })
        .collect();
    ensure!(!found.is_empty(), "no running container has the label {TASK_LABEL} of this task");
    Ok(found)
}

async fn inspect(socket: &Path, id_or_name: &str) -> anyhow::Result<Inspected> {
    // What goes into the path is restricted to what Docker allows in names, so it can't be read as anything else.
    let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    ensure!(!id_or_name.is_empty() && id_or_name.chars().all(usual), "not a container id or name");
    let inspected: Inspected = http::get_unix(socket, &format!("/containers/{id_or_name}/json"))
        .await
        .context("asking the Docker engine")?;
    ensure!(inspected.state.running, "it is not running");
    Ok(inspected)
}
