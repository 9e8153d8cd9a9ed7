//! What AWS says about the cluster, as plain data: the input of `plan`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::Timestamp;
use serde::Serialize;

use crate::{aws::Optional, tunables::TaskChoice};

/// Everything that a plan is made from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fleet {
    /// By group (`service:web`): the one that was named, or those behind the tasks where guards ask about them.
    pub(crate) services: BTreeMap<String, Service>,
    /// The tasks that were named or found, in any state.
    pub(crate) tasks: Vec<Task>,
    /// Tasks that were named and do not exist: id and ECS's reason.
    pub(crate) unknown_tasks: Vec<(String, String)>,
    /// Numbers of running tasks by group, where only some of a group's tasks were named.
    pub(crate) siblings: BTreeMap<String, usize>,
    /// By container instance id, the last part of the ARN.
    pub(crate) hosts: BTreeMap<String, Host>,
    /// What SSM knows about the hosts, by instance id; absent when SSM does not manage it.
    pub(crate) managed: BTreeMap<String, Managed>,
    /// Ports that containers of a task definition declare: by definition ARN, then container name. Only those
    /// definitions that were needed.
    pub(crate) declared: BTreeMap<String, BTreeMap<String, Vec<u16>>>,
    /// Rights that the caller lacks and that something else stands in for.
    pub(crate) lacking: BTreeSet<Optional>,
    /// AWS calls that it took.
    pub(crate) calls: u32,
}

/// What is looked up for a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inquiry<'a> {
    pub(crate) choice: &'a TaskChoice,
    /// Decides which task definitions are worth a look.
    pub(crate) port: u16,
    /// Tags of tasks and services.
    pub(crate) tags: bool,
    /// The services behind tasks that are not chosen by their service.
    pub(crate) services: bool,
    /// How many tasks of each group run, where only some are named.
    pub(crate) siblings: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Service {
    pub(crate) name: String,
    /// Whether a load balancer's health checks decide over its tasks.
    pub(crate) load_balanced: bool,
    pub(crate) tags: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Task {
    /// The last part of the ARN.
    pub(crate) id: String,
    pub(crate) arn: String,
    pub(crate) last_status: String,
    pub(crate) desired_status: String,
    pub(crate) launch_type: String,
    pub(crate) definition: String,
    /// `service:<name>` for a service's tasks.
    pub(crate) group: String,
    pub(crate) tags: BTreeMap<String, String>,
    /// The last part of its ARN.
    pub(crate) container_instance: Option<String>,
    pub(crate) created_at: Option<Timestamp>,
    /// Since when it runs.
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) containers: Vec<Container>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Container {
    pub(crate) name: String,
    /// The Docker container id.
    pub(crate) runtime_id: Option<String>,
    /// Container ports that ECS has bound to host ports (bridge mode).
    pub(crate) bound_ports: Vec<u16>,
}

/// A container instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    pub(crate) instance_id: String,
    pub(crate) os_type: Option<String>,
    pub(crate) cpu_architecture: Option<String>,
    pub(crate) bottlerocket: bool,
    pub(crate) zone: Option<String>,
}

/// A row of DescribeInstanceInformation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Managed {
    pub(crate) ping_status: String,
    pub(crate) platform_type: String,
    pub(crate) platform_name: String,
}

/// An EC2 instance id. By construction letters, digits and one dash: safe in a script.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(crate) struct InstanceId(String);

impl Fleet {
    /// How many tasks of a group run.
    pub(crate) fn running(&self, group: &str) -> usize {
        let here = || self.tasks.iter().filter(|task| task.group == group && task.is_running()).count();
        self.siblings.get(group).copied().unwrap_or_else(here)
    }
}

impl Service {
    pub(crate) fn group(&self) -> String {
        format!("service:{}", self.name)
    }
}

impl Task {
    pub(crate) fn is_running(&self) -> bool {
        self.last_status == "RUNNING" && self.desired_status == "RUNNING"
    }
}

impl InstanceId {
    /// `None` for anything but `i-` and 8 to 17 letters and digits (SSM's pattern).
    pub(crate) fn new(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("i-")?;
        let fits = (8..=17).contains(&rest.len()) && rest.chars().all(|c| c.is_ascii_alphanumeric());
        fits.then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
