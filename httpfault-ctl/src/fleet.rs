//! What AWS says about the cluster, as plain data: the input of `plan`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;

use crate::aws::Optional;

/// Everything that a plan is made from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fleet {
    pub(crate) service: Option<Service>,
    /// The tasks that were named or found, in any state.
    pub(crate) tasks: Vec<Task>,
    /// Tasks that were named and do not exist: id and ECS's reason.
    pub(crate) unknown_tasks: Vec<(String, String)>,
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

#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) name: String,
    /// Whether a load balancer's health checks decide over its tasks.
    pub(crate) load_balanced: bool,
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
    /// The last part of its ARN.
    pub(crate) container_instance: Option<String>,
    /// Seconds since 1970.
    pub(crate) started_at: Option<i64>,
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
