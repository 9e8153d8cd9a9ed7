//! An ECS cluster.

use serde::{Deserialize, Serialize};

use super::{ContainerInstance, Service, Task};

/// An ECS cluster and what is in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Short name.
    pub name: String,
    /// `ACTIVE` or `INACTIVE` (deleted, but still described for a while).
    #[serde(default = "active")]
    pub status: String,
    /// Registered EC2 instances.
    #[serde(default)]
    pub container_instances: Vec<ContainerInstance>,
    /// Services.
    #[serde(default)]
    pub services: Vec<Service>,
    /// Tasks of services and others, running or stopped.
    #[serde(default)]
    pub tasks: Vec<Task>,
}

impl Cluster {
    /// An active, empty cluster.
    pub fn new(name: &str) -> Self {
        Cluster {
            name: name.to_owned(),
            status: active(),
            container_instances: Vec::new(),
            services: Vec::new(),
            tasks: Vec::new(),
        }
    }

    /// Makes the cluster INACTIVE: described, but nothing can be listed in it.
    pub fn inactive(mut self) -> Self {
        self.status = "INACTIVE".to_owned();
        self
    }

    /// Registers an instance.
    pub fn container_instance(mut self, instance: ContainerInstance) -> Self {
        self.container_instances.push(instance);
        self
    }

    /// Adds a service. Its tasks are added with [`task`](Self::task).
    pub fn service(mut self, service: Service) -> Self {
        self.services.push(service);
        self
    }

    /// Adds a task.
    pub fn task(mut self, task: Task) -> Self {
        self.tasks.push(task);
        self
    }
}

fn active() -> String {
    "ACTIVE".to_owned()
}
