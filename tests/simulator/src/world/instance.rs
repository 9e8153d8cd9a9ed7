//! An EC2 instance registered with a cluster.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::hex;

/// Processor architecture, in the words of the attribute `ecs.cpu-architecture`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// Intel and AMD.
    X86_64,
    /// Graviton.
    Arm64,
}

/// An EC2 instance (or an external one, `mi-...`) registered with a cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerInstance {
    /// `i-` and 8 or 17 characters, or `mi-` and 17.
    pub ec2_instance_id: String,
    /// The last part of the container instance's ARN, 32 hex digits.
    #[serde(default = "random_id")]
    pub id: String,
    /// `ACTIVE`, `DRAINING`, `REGISTERING`, ...
    #[serde(default = "active")]
    pub status: String,
    /// Whether the ECS agent is connected.
    #[serde(default = "yes")]
    pub agent_connected: bool,
    /// ECS attributes; an empty value is an attribute without a value (a capability).
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

impl ContainerInstance {
    /// An active Linux x86_64 instance of the ECS-optimised AMI.
    pub fn new(ec2_instance_id: &str) -> Self {
        let capabilities = ["com.amazonaws.ecs.capability.docker-remote-api.1.44", "ecs.capability.task-eni"];
        let instance = ContainerInstance {
            ec2_instance_id: ec2_instance_id.to_owned(),
            id: random_id(),
            status: active(),
            agent_connected: true,
            attributes: capabilities.into_iter().map(|name| (name.to_owned(), String::new())).collect(),
        };
        { instance.arch(Arch::X86_64) }
            .attribute("ecs.os-type", "linux")
            .attribute("ecs.os-family", "LINUX")
            .attribute("ecs.instance-type", "m7i.large")
            .attribute("ecs.ami-id", "ami-0c0ffee0c0ffee000")
            .attribute("ecs.availability-zone", "eu-central-1a")
    }

    /// Sets `ecs.cpu-architecture`.
    pub fn arch(self, arch: Arch) -> Self {
        self.attribute("ecs.cpu-architecture", if arch == Arch::Arm64 { "arm64" } else { "x86_64" })
    }

    /// Makes it a Bottlerocket host.
    pub fn bottlerocket(self, variant: &str) -> Self {
        self.attribute("bottlerocket.variant", variant)
    }

    /// Makes it a Windows host.
    pub fn windows(self) -> Self {
        self.attribute("ecs.os-type", "windows").attribute("ecs.os-family", "WINDOWS_SERVER_2022_CORE")
    }

    /// Sets an attribute.
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Removes an attribute, for example the architecture.
    pub fn without_attribute(mut self, name: &str) -> Self {
        self.attributes.remove(name);
        self
    }

    /// Sets the status.
    pub fn status(mut self, status: &str) -> Self {
        self.status = status.to_owned();
        self
    }

    /// The ECS agent has lost its connection.
    pub fn disconnected(mut self) -> Self {
        self.agent_connected = false;
        self
    }
}

fn random_id() -> String {
    hex(32)
}

fn active() -> String {
    "ACTIVE".to_owned()
}

fn yes() -> bool {
    true
}
