//! An ECS task and its containers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::hex;

/// Where a task runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LaunchType {
    /// On a container instance of the account.
    Ec2,
    /// On capacity that AWS owns.
    Fargate,
    /// On a machine outside AWS (ECS Anywhere).
    External,
}

/// `lastStatus` and `desiredStatus` of a task, and `lastStatus` of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TaskStatus {
    /// Waits for resources.
    Provisioning,
    /// Waits for the agent.
    Pending,
    /// Runs.
    Running,
    /// Leaves its load balancers.
    Deactivating,
    /// Is being stopped.
    Stopping,
    /// Has ended.
    Stopped,
}

/// `networkMode` of the task definition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// Published ports on the host.
    #[default]
    Bridge,
    /// The host's network.
    Host,
    /// An elastic network interface for the task.
    Awsvpc,
    /// No network.
    None,
}

/// An ECS task.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// 32 hex digits, the last part of the ARN.
    #[serde(default = "task_id")]
    pub id: String,
    /// EC2 instance it runs on; absent for Fargate.
    #[serde(default)]
    pub ec2_instance_id: Option<String>,
    /// Where it runs.
    pub launch_type: LaunchType,
    /// Capacity provider that placed it: its launch type is then not shown.
    #[serde(default)]
    pub capacity_provider: Option<String>,
    /// Its ARN and that of its instance are in the format of before 2018, without the cluster's name.
    #[serde(default)]
    pub short_arns: bool,
    /// Such as `service:web`.
    #[serde(default)]
    pub group: String,
    /// `family:revision`.
    #[serde(default)]
    pub task_definition: String,
    /// What it does.
    #[serde(default = "running")]
    pub last_status: TaskStatus,
    /// What it should do.
    #[serde(default = "running")]
    pub desired_status: TaskStatus,
    /// Network mode of its definition.
    #[serde(default)]
    pub network_mode: NetworkMode,
    /// Its containers.
    #[serde(default)]
    pub containers: Vec<Container>,
    /// Its own tags; those of its service are not handed on.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Why it stopped.
    #[serde(default)]
    pub stopped_reason: Option<String>,
    /// When it was created.
    #[serde(default = "Timestamp::now")]
    pub created_at: Timestamp,
    /// When it stopped.
    #[serde(default)]
    pub stopped_at: Option<Timestamp>,
}

/// A container of a task.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// Name in the task definition.
    pub name: String,
    /// Docker's container id, 64 hex digits; absent before it was created.
    #[serde(default = "runtime_id")]
    pub runtime_id: Option<String>,
    /// Image reference.
    #[serde(default = "image")]
    pub image: String,
    /// What it does.
    #[serde(default = "running")]
    pub last_status: TaskStatus,
    /// Ports that its definition maps.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// Exit code of a stopped container.
    #[serde(default)]
    pub exit_code: Option<i32>,
}

/// A TCP port of a container.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Inside the container.
    pub container: u16,
    /// On the host, in bridge mode.
    pub host: u16,
}

impl Task {
    /// A running EC2 task on an instance, with a random id, no group and no container.
    pub fn on(ec2_instance_id: &str) -> Self {
        Task { ec2_instance_id: Some(ec2_instance_id.to_owned()), ..Task::fargate() }
            .launch_type(LaunchType::Ec2)
            .network_mode(NetworkMode::Bridge)
    }

    /// A running Fargate task.
    pub fn fargate() -> Self {
        Task {
            id: task_id(),
            ec2_instance_id: None,
            launch_type: LaunchType::Fargate,
            capacity_provider: None,
            short_arns: false,
            group: "family:app".to_owned(),
            task_definition: "app:1".to_owned(),
            last_status: TaskStatus::Running,
            desired_status: TaskStatus::Running,
            network_mode: NetworkMode::Awsvpc,
            containers: Vec::new(),
            tags: BTreeMap::new(),
            stopped_reason: None,
            created_at: Timestamp::now(),
            stopped_at: None,
        }
    }

    /// Sets the id.
    pub fn id(mut self, id: &str) -> Self {
        self.id = id.to_owned();
        self
    }

    /// Makes it a task of a service: its group, and the family named after the service.
    pub fn service(mut self, service: &str) -> Self {
        self.group = format!("service:{service}");
        self.task_definition = format!("{service}:1");
        self
    }

    /// Sets the launch type.
    pub fn launch_type(mut self, launch_type: LaunchType) -> Self {
        self.launch_type = launch_type;
        self
    }

    /// Lets a capacity provider have placed it.
    pub fn capacity_provider(mut self, name: &str) -> Self {
        self.capacity_provider = Some(name.to_owned());
        self
    }

    /// Gives it ARNs in the old format.
    pub fn short_arns(mut self) -> Self {
        self.short_arns = true;
        self
    }

    /// Sets the network mode.
    pub fn network_mode(mut self, mode: NetworkMode) -> Self {
        self.network_mode = mode;
        self
    }

    /// Sets `lastStatus`, of the task and of its containers so far; `desiredStatus` stays.
    pub fn last_status(mut self, status: TaskStatus) -> Self {
        self.last_status = status;
        self.containers.iter_mut().for_each(|container| container.last_status = status);
        self
    }

    /// Gives it a tag.
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds a container.
    pub fn container(mut self, container: Container) -> Self {
        self.containers.push(container);
        self
    }

    /// Ends the task.
    pub fn stop(&mut self, reason: &str) {
        self.last_status = TaskStatus::Stopped;
        self.desired_status = TaskStatus::Stopped;
        self.stopped_reason = Some(reason.to_owned());
        self.stopped_at = Some(Timestamp::now());
        for container in &mut self.containers {
            container.last_status = TaskStatus::Stopped;
            container.exit_code = Some(137);
        }
    }

    pub(super) fn replacement(&self) -> Self {
        let mut task = self.clone();
        task.id = task_id();
        task.created_at = Timestamp::now();
        task.containers.iter_mut().for_each(|container| container.runtime_id = runtime_id());
        task
    }
}

impl Container {
    /// A running container with a random runtime id and without ports.
    pub fn new(name: &str) -> Self {
        Container {
            name: name.to_owned(),
            runtime_id: runtime_id(),
            image: image(),
            last_status: TaskStatus::Running,
            ports: Vec::new(),
            exit_code: None,
        }
    }

    /// Sets Docker's container id.
    pub fn runtime_id(mut self, id: &str) -> Self {
        self.runtime_id = Some(id.to_owned());
        self
    }

    /// Makes it a container that Docker has not created yet.
    pub fn without_runtime_id(mut self) -> Self {
        self.runtime_id = None;
        self
    }

    /// Maps a TCP port.
    pub fn port(mut self, container: u16, host: u16) -> Self {
        self.ports.push(Port { container, host });
        self
    }
}

fn task_id() -> String {
    hex(32)
}

fn runtime_id() -> Option<String> {
    Some(hex(64))
}

fn running() -> TaskStatus {
    TaskStatus::Running
}

fn image() -> String {
    "registry.example/app:1".to_owned()
}
