//! What is looked at on each kernel, and how it is told on the serial console: the contract between the program in the
//! virtual machine and `cargo xtask vm`, which compiles this file too.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Start of each line that carries a [`Finding`]; the console also carries the kernel's own lines.
pub(crate) const MARK: &str = "httpfault-vm ";

/// One feature on one kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finding {
    pub(crate) feature: Feature,
    pub(crate) outcome: Outcome,
    /// What was seen, or why it failed.
    pub(crate) detail: String,
}

/// What became of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Works,
    /// Not possible on this host; the agent said so and changed nothing.
    Refused,
    /// Not possible on this host; the agent warned of it and did the rest.
    Warned,
    Failed,
}

/// What the host lacks, on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// Nothing.
    Full,
    /// Control groups in version 1 alone, as on Amazon Linux 2.
    LegacyCgroups,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Feature {
    Check,
    Inbound4,
    Inbound6,
    InTask4,
    InTask6,
    OtherCgroup,
    Keep,
    Status,
    Signal,
    Drain,
    Remove,
    Reset,
    Take,
    Kill,
    Stop,
    Forward,
    Deadline,
    Verifier,
}

impl Feature {
    /// In the order of the table.
    pub(crate) const ALL: [Self; 18] = [
        Self::Check,
        Self::Inbound4,
        Self::Inbound6,
        Self::InTask4,
        Self::InTask6,
        Self::OtherCgroup,
        Self::Keep,
        Self::Drain,
        Self::Reset,
        Self::Take,
        Self::Forward,
        Self::Status,
        Self::Deadline,
        Self::Signal,
        Self::Remove,
        Self::Kill,
        Self::Stop,
        Self::Verifier,
    ];
}

/// As it is called in the table and on the console.
impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Check => "check",
            Self::Inbound4 => "inbound v4",
            Self::Inbound6 => "inbound v6",
            Self::InTask4 => "in-task v4",
            Self::InTask6 => "in-task v6",
            Self::OtherCgroup => "other cgroup",
            Self::Keep => "keep",
            Self::Drain => "drain",
            Self::Reset => "reset",
            Self::Take => "take",
            Self::Forward => "forward",
            Self::Status => "status",
            Self::Deadline => "deadline",
            Self::Signal => "SIGTERM",
            Self::Remove => "remove",
            Self::Kill => "SIGKILL",
            Self::Stop => "SIGSTOP",
            Self::Verifier => "verifier",
        })
    }
}

/// The name on the command line.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::LegacyCgroups => "legacy-cgroups",
        })
    }
}

impl std::str::FromStr for Host {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Full, Self::LegacyCgroups]
            .into_iter()
            .find(|host| host.to_string() == name)
            .ok_or_else(|| format!("there is no host {name:?}"))
    }
}
