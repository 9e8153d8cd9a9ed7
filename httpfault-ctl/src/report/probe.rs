//! What the probes of the steady state saw, in the report of `run`.

use serde::Serialize;

use crate::tunables::{During, Probe};

/// A probe, its verdict and its samples.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ProbeReport {
    pub(crate) name: String,
    pub(crate) method: &'static str,
    /// Without user, password and query.
    pub(crate) url: String,
    /// What its answer has to be, in words.
    pub(crate) expects: String,
    /// What it has to do while the fault is on.
    pub(crate) mode: During,
    /// How many samples of a phase may fail.
    pub(crate) tolerated_failures: u32,
    pub(crate) interval_ms: u64,
    pub(crate) verdict: ProbeVerdict,
    /// Why it is not `passed`.
    pub(crate) reason: Option<String>,
    /// Of every sample, also those that were left out.
    pub(crate) before: Tally,
    pub(crate) during: Tally,
    pub(crate) after: Tally,
    /// In the order of time.
    pub(crate) samples: Vec<Sample>,
    /// Of a long run only some samples are kept: those at which something changes, and every second, fourth, … of the
    /// others.
    pub(crate) samples_left_out: u64,
}

/// Whether the hypothesis held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProbeVerdict {
    Passed,
    Failed,
    /// The run ended, or the fault was not seen on, before all of it could be judged.
    #[default]
    NotJudged,
}

/// Numbers of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tally {
    pub(crate) samples: u64,
    pub(crate) failed: u64,
}

/// One request and its answer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    /// When it was sent, since the run's `started_at`.
    pub(crate) at_ms: u64,
    pub(crate) phase: Phase,
    pub(crate) status: Option<u16>,
    /// Why there is no status, or what else is wrong with the answer.
    pub(crate) error: Option<String>,
    pub(crate) latency_ms: u64,
    /// Whether the answer was what it has to be.
    pub(crate) held: bool,
}

/// What the run was doing while a sample was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// No host was told to put the fault on.
    Before,
    /// It may be on: not proved yet, and not judged.
    TurningOn,
    /// It was proved on, and can't have ended by its deadline.
    During,
    /// It may be off: not proved yet, and not judged.
    TurningOff,
    /// It was proved off everywhere.
    After,
}

impl ProbeReport {
    pub(crate) fn of(probe: &Probe) -> Self {
        Self {
            name: probe.name.clone(),
            method: probe.method.as_str(),
            url: probe.url.to_string(),
            expects: probe.expects(),
            mode: probe.during,
            tolerated_failures: probe.tolerated_failures,
            interval_ms: u64::try_from(probe.interval.as_millis()).unwrap_or(u64::MAX),
            verdict: ProbeVerdict::NotJudged,
            reason: None,
            before: Tally::default(),
            during: Tally::default(),
            after: Tally::default(),
            samples: Vec::new(),
            samples_left_out: 0,
        }
    }

    /// PROBE_URL's has no name of its own.
    pub(super) fn title(&self) -> String {
        if self.name == "probe" { self.name.clone() } else { format!("probe {}", self.name) }
    }

    /// One line for people.
    pub(super) fn text(&self) -> String {
        let reason = self.reason.as_ref().map(|reason| format!("; {reason}")).unwrap_or_default();
        format!(
            "{}: {}; held before {}, during {}, after {}{reason}\n",
            self.title(),
            self.verdict.words(),
            self.before.held(),
            self.during.held(),
            self.after.held()
        )
    }
}

impl Tally {
    /// How many were what they had to be.
    pub(super) fn held(&self) -> String {
        format!("{} of {}", self.samples - self.failed, self.samples)
    }
}

// === impl ProbeVerdict ===

impl ProbeVerdict {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NotJudged => "not judged",
        }
    }
}
