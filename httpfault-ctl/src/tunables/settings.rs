//! What the program uses. Every value was checked here; nothing after this reads a variable or a flag.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use httpfault_common::contract::{ExperimentId, RunSpec};

use super::{
    guards::Guards,
    probes::Probe,
    reports::{Metrics, ReportTo},
    trace::Trace,
};

/// How to reach AWS and how to talk to the user: the part that every command needs.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) cluster: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) region: String,
    pub(crate) experiment: Option<ExperimentId>,
    /// SSM_DOCUMENT, in place of AWS-RunShellScript.
    pub(crate) document: Option<String>,
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
    /// SSM_DOCUMENT, in place of AWS-RunShellScript.
    pub(crate) document: Option<String>,
    /// Whether STOP_ALARMS will be read.
    pub(crate) alarms: bool,
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

/// How hosts that lack the agent come by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Not at all: they must have it.
    Preinstalled,
    /// In pieces over Run Command.
    Pieces,
    Url(String),
    S3(S3Uri),
    /// Out of an image that they may pull.
    Image(String),
}

/// An object in S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct S3Uri {
    pub(crate) bucket: String,
    pub(crate) key: String,
}

/// Everything about the agent's file.
#[derive(Clone, Debug)]
pub(crate) struct Agents {
    /// INSTALL_DEPENDENCIES.
    pub(crate) install: bool,
    pub(crate) delivery: Delivery,
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
    pub(crate) guards: Guards,
    pub(crate) probes: Vec<Probe>,
    /// CloudWatch alarms, by name; one in ALARM ends the run.
    pub(crate) stop_alarms: Vec<String>,
    /// Its appearing ends the run.
    pub(crate) stop_file: Option<PathBuf>,
    pub(crate) report_to: ReportTo,
    pub(crate) metrics: Metrics,
    pub(crate) trace: Option<Trace>,
    /// The flags of the same experiment, without its seed.
    pub(crate) repeat: Vec<String>,
    pub(crate) yes: bool,
}

// === impl S3Uri ===

impl S3Uri {
    /// `s3://bucket/key`. Bucket names are S3's; of keys, what needs no care in a URL or a file.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let (bucket, key) = text.strip_prefix("s3://")?.split_once('/')?;
        let bucket_fits = (3..=63).contains(&bucket.len())
            && bucket.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c));
        let key_fits = (1..=1000).contains(&key.len())
            && key.chars().all(|c| c.is_ascii_graphic() && !"\"\\?#".contains(c));
        (bucket_fits && key_fits).then(|| Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }

    /// With the architecture in its place.
    pub(crate) fn of(&self, architecture: Architecture) -> Self {
        let key = self.key.replace("{arch}", architecture.as_str());
        Self { bucket: self.bucket.clone(), key }
    }
}

impl fmt::Display for S3Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
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
