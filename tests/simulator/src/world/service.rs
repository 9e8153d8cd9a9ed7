//! An ECS service.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::LaunchType;

/// An ECS service. Its tasks are those whose `group` is `service:NAME`; the counts follow from them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Short name.
    pub name: String,
    /// `ACTIVE`, `DRAINING` or `INACTIVE`.
    #[serde(default = "active")]
    pub status: String,
    /// Absent with a capacity provider strategy.
    #[serde(default = "ec2")]
    pub launch_type: Option<LaunchType>,
    /// Name of a capacity provider, instead of a launch type.
    #[serde(default)]
    pub capacity_provider: Option<String>,
    /// How many tasks are wanted; unset means as many as there are.
    #[serde(default)]
    pub desired_count: Option<usize>,
    /// Target groups that it registers with.
    #[serde(default)]
    pub load_balancers: Vec<LoadBalancer>,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// `family:revision`; unset means the service's name and revision 1.
    #[serde(default)]
    pub task_definition: Option<String>,
}

/// One entry of a service's `loadBalancers`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadBalancer {
    /// ARN of the target group.
    pub target_group_arn: String,
    /// Container that is registered.
    pub container_name: String,
    /// Its port.
    pub container_port: u16,
}

impl Service {
    /// An active service of launch type EC2.
    pub fn new(name: &str) -> Self {
        Service {
            name: name.to_owned(),
            status: active(),
            launch_type: ec2(),
            capacity_provider: None,
            desired_count: None,
            load_balancers: Vec::new(),
            tags: BTreeMap::new(),
            task_definition: None,
        }
    }

    /// Sets the launch type.
    pub fn launch_type(mut self, launch_type: LaunchType) -> Self {
        self.launch_type = Some(launch_type);
        self
    }

    /// Uses a capacity provider: the service then has no launch type.
    pub fn capacity_provider(mut self, name: &str) -> Self {
        self.launch_type = None;
        self.capacity_provider = Some(name.to_owned());
        self
    }

    /// Sets how many tasks are wanted.
    pub fn desired_count(mut self, count: usize) -> Self {
        self.desired_count = Some(count);
        self
    }

    /// Registers a container with a target group.
    pub fn target_group(mut self, arn: &str, container: &str, port: u16) -> Self {
        self.load_balancers.push(LoadBalancer {
            target_group_arn: arn.to_owned(),
            container_name: container.to_owned(),
            container_port: port,
        });
        self
    }

    /// Gives it a tag.
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets the status.
    pub fn status(mut self, status: &str) -> Self {
        self.status = status.to_owned();
        self
    }

    /// `family:revision` of its task definition.
    pub fn definition(&self) -> String {
        self.task_definition.clone().unwrap_or_else(|| format!("{}:1", self.name))
    }
}

fn active() -> String {
    "ACTIVE".to_owned()
}

fn ec2() -> Option<LaunchType> {
    Some(LaunchType::Ec2)
}
