//! What the program uses. Every value was checked here; nothing after this reads a variable or a flag.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use httpfault_common::contract::{ExperimentId, RunSpec};

/// How to reach AWS and how to talk to the user: the part that every command needs.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) cluster: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) region: String,
    pub(crate) experiment: Option<ExperimentId>,
    pub(crate) credentials: Credentials,
    pub(crate) output: Output,
    pub(crate) poll: Duration,
    pub(crate) answer_within: Duration,
}

/// Where credentials come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials {
    /// AWS_AUTHENTICATION_SECRET as typed.
    pub(crate) secret: Option<String>,
    pub(crate) secret_dir: PathBuf,
    pub(crate) shared_file: Option<PathBuf>,
    pub(crate) profile: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) role_external_id: Option<String>,
    pub(crate) role_session_name: String,
}

/// What `policy` can be narrowed to; nothing stands for everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct PolicyScope {
    pub(crate) cluster: Option<String>,
    pub(crate) region: Option<String>,
    /// Tags that an instance must have to be sent commands.
    pub(crate) instance_tags: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Text,
    Json,
}

/// Which tasks are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TaskChoice {
    /// Exactly these, by id or ARN.
    Tasks(Vec<String>),
    /// A share of the service's running tasks.
    Service(String),
    /// A share of all running EC2 tasks of the cluster.
    AllTasks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sequence {
    Parallel,
    Serial,
}

/// CPU architecture of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub(crate) enum Architecture {
    #[serde(rename = "x86_64")]
    X86_64,
    #[serde(rename = "aarch64")]
    Aarch64,
}

/// How hosts come by the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AgentSource {
    Ssm,
    Url,
    Preinstalled,
}

/// Everything about the agent's file.
#[derive(Clone, Debug)]
pub(crate) struct Agents {
    /// INSTALL_DEPENDENCIES.
    pub(crate) install: bool,
    pub(crate) source: AgentSource,
    pub(crate) url: Option<String>,
    /// `None` is the directory of this program.
    pub(crate) dir: Option<PathBuf>,
    pub(crate) checksums: BTreeMap<Architecture, String>,
}

/// The settings of `run` and `plan`.
#[derive(Clone, Debug)]
pub(crate) struct RunSettings {
    pub(crate) access: Access,
    pub(crate) cluster: String,
    pub(crate) choice: TaskChoice,
    /// Percent of the tasks.
    pub(crate) affected: u8,
    pub(crate) container: Option<String>,
    /// What agents are told, without targets.
    pub(crate) template: RunSpec,
    pub(crate) seed: Option<u64>,
    pub(crate) sequence: Sequence,
    pub(crate) ramp: Duration,
    pub(crate) agents: Agents,
    pub(crate) yes: bool,
}

// === impl Architecture ===

impl Architecture {
    /// By any of its usual names: `uname -m`, Rust, ECS (`ecs.cpu-architecture`).
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "x86_64" | "amd64" => Some(Self::X86_64),
            "aarch64" | "arm64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
