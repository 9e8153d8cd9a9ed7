//! The report of `run`.

use httpfault_common::contract::{Counters, Exit, LeftBehind, Problem, RemovedReason};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    Experiment, ProbeReport, ProbeVerdict, Report, table,
    timeline::{HostHistory, Timeline},
};
use crate::{
    fleet::Task,
    plan::{Plan, PlannedTask},
    stop::Stopped,
    verify,
};

/// What was planned and what happened.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RunReport {
    #[serde(flatten)]
    pub(crate) experiment: Experiment,
    /// How the run ended; the exit code of the program.
    pub(crate) exit: Exit,
    /// Clock of this machine.
    pub(crate) started_at: Timestamp,
    pub(crate) ended_at: Timestamp,
    pub(crate) tasks: Vec<TaskReport>,
    /// What was asked of the steady state.
    pub(crate) probes: Vec<ProbeReport>,
    /// What came in the course of time, a record for each host and window (clock of the host).
    pub(crate) histories: Vec<HostHistory>,
    pub(crate) warnings: Vec<String>,
    pub(crate) left_behind: Vec<LeftBehind>,
    /// What stopped the run early.
    pub(crate) error: Option<String>,
    pub(crate) aborted: bool,
    /// By which stop condition.
    pub(crate) stopped: Option<Stopped>,
    /// Removes whatever this run may have left, typed by hand.
    pub(crate) recover_with: String,
    /// The same experiment again.
    pub(crate) repeat_with: String,
}

/// A host whose clock is off by more is not on the timeline.
const OFF_BY: SignedDuration = SignedDuration::from_mins(2);

/// One task.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct TaskReport {
    pub(crate) task: String,
    pub(crate) container: Option<String>,
    pub(crate) instance: String,
    pub(crate) outcome: TaskOutcome,
    /// Clock of the host.
    pub(crate) injected_at: Option<Timestamp>,
    pub(crate) removed_at: Option<Timestamp>,
    /// A second command saw the fault on.
    pub(crate) verified_on: bool,
    /// A second command saw it off.
    pub(crate) verified_off: bool,
    /// Why it ended.
    pub(crate) reason: Option<RemovedReason>,
    pub(crate) counters: Counters,
    /// When the counters were read: at the agent's end (clock of the host), else at the last look.
    pub(crate) counters_at: Option<Timestamp>,
    pub(crate) causes: Vec<String>,
    pub(crate) error: Option<Problem>,
    /// Tasks that the service started in its place.
    pub(crate) replaced_by: Vec<Replacement>,
}

/// A task in place of another. The clock is ECS's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Replacement {
    pub(crate) task: String,
    pub(crate) created_at: Option<Timestamp>,
    /// Since when it runs.
    pub(crate) started_at: Option<Timestamp>,
}

impl Replacement {
    pub(crate) fn of(task: &Task) -> Self {
        Self { task: task.id.clone(), created_at: task.created_at, started_at: task.started_at }
    }

    fn words(&self) -> String {
        let clock = |at: Timestamp| at.strftime("%H:%M:%S");
        match (self.started_at, self.created_at) {
            (Some(at), _) => format!("{} (runs since {})", self.task, clock(at)),
            (None, Some(at)) => format!("{} (created at {}, does not run yet)", self.task, clock(at)),
            (None, None) => self.task.clone(),
        }
    }
}

impl TaskReport {
    pub(crate) fn of(task: &PlannedTask) -> Self {
        Self {
            task: task.task.clone(),
            container: task.container.clone(),
            instance: task.instance.to_string(),
            ..Self::default()
        }
    }

    /// Whether it went as it was meant to.
    pub(super) fn is_good(&self) -> bool {
        match self.outcome {
            TaskOutcome::Faulted => self.verified_on && self.verified_off,
            // ECS replaces tasks that fail their health checks: the fault had its effect.
            TaskOutcome::TargetGone => verify::had_effect(&self.counters),
            // The other one has a record of its own.
            TaskOutcome::Replaced => true,
            TaskOutcome::NotTried | TaskOutcome::NoTraffic | TaskOutcome::Failed => false,
        }
    }

    /// Short, and enough to tell it from others.
    pub(super) fn name(&self) -> String {
        let short = self.task.char_indices().rev().nth(7).map_or(0, |(at, _)| at);
        format!("{} …{}", self.container.as_deref().unwrap_or("task"), &self.task[short..])
    }

    /// What became of it, in a few words.
    pub(super) fn summary(&self) -> String {
        let words = self.outcome.words();
        match self.counters.faulted {
            0 => words.to_owned(),
            requests => format!("{words}, {requests} request(s)"),
        }
    }

    /// What a second command saw.
    pub(super) fn proved(&self) -> &'static str {
        match (self.verified_on, self.verified_off) {
            (true, true) => "on and off",
            (true, false) => "on",
            (false, true) => "off",
            (false, false) => "-",
        }
    }

    pub(super) fn replacement(&self) -> Option<String> {
        let by: Vec<String> = self.replaced_by.iter().map(Replacement::words).collect();
        let by = (!by.is_empty()).then(|| by.join(", "))?;
        let replaced = self.outcome == TaskOutcome::Replaced;
        let how = if replaced { "this run took" } else { "its service has started" };
        Some(format!("went away; {how} {by}"))
    }
}

/// What became of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TaskOutcome {
    /// Its turn never came.
    #[default]
    NotTried,
    Faulted,
    NoTraffic,
    TargetGone,
    /// It went away before its turn, and another was taken.
    Replaced,
    Failed,
}

impl RunReport {
    pub(crate) fn new(plan: &Plan, started_at: Timestamp, repeat_with: String) -> Self {
        Self {
            experiment: Experiment::of(plan),
            exit: Exit::Failed,
            started_at,
            ended_at: started_at,
            tasks: plan.tasks.iter().map(TaskReport::of).collect(),
            probes: Vec::new(),
            histories: Vec::new(),
            warnings: plan.warnings.clone(),
            left_behind: Vec::new(),
            error: None,
            aborted: false,
            stopped: None,
            recover_with: recover_with(plan),
            repeat_with,
        }
    }

    /// The one mapping from outcomes to an exit code.
    pub(crate) fn judge(&mut self) {
        let was_on = |task: &TaskReport| task.injected_at.is_some();
        self.exit = if !self.left_behind.is_empty() {
            Exit::LeftBehind
        } else if self.aborted {
            Exit::Aborted
        } else if self.is_whole() && self.hypothesis_held() {
            Exit::Done
        } else if self.tasks.iter().any(was_on) {
            Exit::Partly
        } else {
            Exit::Failed
        };
    }

    /// Whether every task got the fault to its end, and that was seen.
    fn is_whole(&self) -> bool {
        self.error.is_none() && self.stopped.is_none() && self.tasks.iter().all(TaskReport::is_good)
    }

    fn hypothesis_held(&self) -> bool {
        self.probes.iter().all(|probe| probe.verdict == ProbeVerdict::Passed)
    }
}

/// The line that an operator can paste.
pub(crate) fn recover_with(plan: &Plan) -> String {
    format!(
        "httpfault-ctl remove --experiment-id {} --region {} --cluster-name {}",
        plan.experiment, plan.region, plan.cluster
    )
}

impl Report for RunReport {
    fn text(&self) -> String {
        let mut text = format!(
            "experiment {} on {}: status {} on port {} for {} s\n",
            self.experiment.experiment_id,
            self.experiment.whose(),
            self.experiment.status_code,
            self.experiment.port,
            self.experiment.duration_secs
        );
        let mut rows =
            table(&["task", "container", "instance", "outcome", "on", "off", "faulted", "spared", "proved"]);
        let time = |at: Option<Timestamp>| {
            at.map_or_else(|| "-".to_owned(), |at| at.strftime("%H:%M:%S").to_string())
        };
        for task in &self.tasks {
            rows.add_row([
                task.task.clone(),
                task.container.clone().unwrap_or_else(|| "-".to_owned()),
                task.instance.clone(),
                task.outcome.words().to_owned(),
                time(task.injected_at),
                time(task.removed_at),
                task.counters.faulted.to_string(),
                task.counters.spared.to_string(),
                task.proved().to_owned(),
            ]);
        }
        text.push_str(&format!("{rows}\n"));
        for task in &self.tasks {
            if let Some(error) = &task.error {
                text.push_str(&format!("task {}: {error}\n", task.task));
            }
            for cause in &task.causes {
                text.push_str(&format!("task {}: {cause}\n", task.task));
            }
            if let Some(replacement) = task.replacement() {
                text.push_str(&format!("task {} {replacement}\n", task.task));
            }
        }
        self.probes.iter().for_each(|probe| text.push_str(&probe.text()));
        for warning in &self.warnings {
            text.push_str(&format!("warning: {warning}\n"));
        }
        if let Some(error) = &self.error {
            text.push_str(&format!("error: {error}\n"));
        }
        if let Some(stopped) = &self.stopped {
            text.push_str(&format!("stopped: {stopped}\n"));
        }
        for left in &self.left_behind {
            text.push_str(&format!(
                "LEFT BEHIND: {} ({}); remove it with: {}\n",
                left.what, left.error, left.remove_with
            ));
        }
        let code = u8::from(self.exit);
        text.push_str(&format!("{} (exit {code}, seed {})\n", self.summary(), self.experiment.seed));
        if self.exit != Exit::Done {
            text.push_str(&format!("to make sure that nothing is left: {}\n", self.recover_with));
        }
        text
    }
}

impl RunReport {
    /// Why it did not go on to its end.
    pub(super) fn early_end(&self) -> Option<String> {
        let aborted = self.aborted.then(|| "it was aborted".to_owned());
        let stopped = self.stopped.as_ref().map(|stopped| format!("it was stopped: {stopped}"));
        self.error.clone().or(aborted).or(stopped)
    }

    /// When the fault was on at a task, as far as its host's clock can be believed.
    pub(super) fn span(&self, task: &TaskReport) -> Option<(Timestamp, Timestamp)> {
        let from = task.injected_at?;
        let to = task.removed_at.or(task.counters_at).unwrap_or(self.ended_at).max(from);
        let (first, last) = self.within();
        (from >= first && to <= last).then_some((from, to))
    }

    /// From when on another task ran in place of one that went away under the fault.
    pub(super) fn replaced(&self, task: &TaskReport) -> Option<Timestamp> {
        let gone = task.outcome == TaskOutcome::TargetGone;
        let times = task.replaced_by.iter().filter(|_| gone).filter_map(|new| new.started_at);
        let (first, last) = (self.started_at, self.ended_at);
        times.filter(|at| (first..=last).contains(at)).min()
    }

    /// From the first task's beginning to the last one's end.
    pub(super) fn was_on(&self) -> Option<(Timestamp, Timestamp)> {
        let spans = || self.tasks.iter().filter_map(|task| self.span(task));
        Some((spans().map(|span| span.0).min()?, spans().map(|span| span.1).max()?))
    }

    pub(super) fn timeline(&self) -> Option<Timeline> {
        Timeline::of(&self.histories, self.within())
    }

    /// So many milliseconds after the beginning.
    pub(super) fn since(&self, started_ms: u64) -> Timestamp {
        let after = SignedDuration::from_millis(i64::try_from(started_ms).unwrap_or(i64::MAX));
        self.started_at.saturating_add(after).unwrap_or(self.ended_at)
    }

    fn within(&self) -> (Timestamp, Timestamp) {
        (self.started_at - OFF_BY, self.ended_at + OFF_BY)
    }

    /// How it ended, in a few words.
    pub(crate) fn summary(&self) -> String {
        match self.exit {
            Exit::Done => "done and verified".to_owned(),
            Exit::Failed if self.stopped.is_some() => {
                "stopped before the fault was on, nothing left behind".to_owned()
            }
            Exit::Failed => "failed, nothing left behind".to_owned(),
            Exit::Partly if self.stopped.is_some() => "stopped, nothing left behind".to_owned(),
            Exit::Partly if self.is_whole() => {
                "the fault was on and off, but the steady state did not hold".to_owned()
            }
            Exit::Partly if !self.tasks.iter().any(|task| verify::had_effect(&task.counters)) => {
                "no request was faulted, nothing left behind".to_owned()
            }
            Exit::Partly if self.tasks.iter().all(|task| task.outcome == TaskOutcome::Faulted) => {
                "done, but not all of it was seen by a second command; nothing left behind".to_owned()
            }
            Exit::Partly => "partly done, nothing left behind".to_owned(),
            Exit::LeftBehind => "something was left behind, or could not be proved to be off".to_owned(),
            Exit::Usage => "wrong input".to_owned(),
            Exit::Aborted => "aborted and cleaned up".to_owned(),
        }
    }
}

// === impl TaskOutcome ===

impl TaskOutcome {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::NotTried => "not tried",
            Self::Faulted => "faulted",
            Self::NoTraffic => "no traffic",
            Self::TargetGone => "went away",
            Self::Replaced => "replaced",
            Self::Failed => "failed",
        }
    }
}
