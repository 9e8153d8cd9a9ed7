//! An instance as Systems Manager sees it, and the host on which its scripts run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `PlatformType` of DescribeInstanceInformation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Platform {
    /// Takes AWS-RunShellScript.
    Linux,
    /// Refuses it: UnsupportedPlatformType.
    Windows,
}

/// `PingStatus` of DescribeInstanceInformation. Commands reach an instance only while it is Online.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PingStatus {
    /// The agent polls.
    Online,
    /// The agent has not been heard for some minutes.
    ConnectionLost,
    /// The instance is stopped or gone.
    Inactive,
}

/// An instance that is registered with Systems Manager.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManagedInstance {
    /// `i-...` or `mi-...`.
    pub id: String,
    /// Whether the agent is heard.
    #[serde(default = "online")]
    pub ping_status: PingStatus,
    /// Terminated: SendCommand refuses it, although its ping status goes on to say Online for minutes.
    #[serde(default)]
    pub terminated: bool,
    /// Linux or Windows.
    #[serde(default = "linux")]
    pub platform: Platform,
    /// Such as `Amazon Linux`.
    #[serde(default = "amazon_linux")]
    pub platform_name: String,
    /// Such as `2023`.
    #[serde(default = "v2023")]
    pub platform_version: String,
    /// Three or four numbers joined by dots.
    #[serde(default = "agent")]
    pub agent_version: String,
    /// Tags, by which a policy can tell instances apart (`ssm:resourceTag/...`).
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Where and how its scripts run on this machine.
    #[serde(default)]
    pub host: HostSetup,
}

/// How scripts sent to an instance run on this machine, beside what AWS prescribes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostSetup {
    /// Additions to (or replacements in) the scripts' environment.
    pub env: BTreeMap<String, String>,
    /// Directories that this host has for itself, beside `/run/httpfault` and `/var/lib/httpfault`: each is
    /// covered by an own, at first empty one in the host's mount namespace. They must exist.
    pub private_dirs: Vec<PathBuf>,
    /// A network namespace file (such as `/run/netns/host-a`) in which its scripts run. Without it they
    /// run in the simulator's.
    pub network_namespace: Option<PathBuf>,
}

impl ManagedInstance {
    /// An Online Amazon Linux 2023 host.
    pub fn amazon_linux(id: &str) -> Self {
        ManagedInstance {
            id: id.to_owned(),
            ping_status: online(),
            terminated: false,
            platform: linux(),
            platform_name: amazon_linux(),
            platform_version: v2023(),
            agent_version: agent(),
            tags: BTreeMap::new(),
            host: HostSetup::default(),
        }
    }

    /// An Online Windows Server host.
    pub fn windows(id: &str) -> Self {
        let mut instance = ManagedInstance::amazon_linux(id);
        instance.platform = Platform::Windows;
        instance.platform_name = "Microsoft Windows Server 2022 Datacenter".to_owned();
        instance.platform_version = "10.0.20348".to_owned();
        instance
    }

    /// Sets the ping status.
    pub fn ping_status(mut self, status: PingStatus) -> Self {
        self.ping_status = status;
        self
    }

    /// Adds a tag.
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds a variable to the scripts' environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.host.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Gives the host a directory of its own at this path. The path must exist.
    pub fn private_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.host.private_dirs.push(path.into());
        self
    }

    /// Runs its scripts in a network namespace.
    pub fn network_namespace(mut self, path: impl Into<PathBuf>) -> Self {
        self.host.network_namespace = Some(path.into());
        self
    }
}

fn online() -> PingStatus {
    PingStatus::Online
}

fn linux() -> Platform {
    Platform::Linux
}

fn amazon_linux() -> String {
    "Amazon Linux".to_owned()
}

fn v2023() -> String {
    "2023".to_owned()
}

fn agent() -> String {
    "3.3.3050.0".to_owned()
}
