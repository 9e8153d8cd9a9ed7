//! The report of `run`.

use httpfault_common::contract::{Counters, Exit, LeftBehind, Problem, RemovedReason};
use jiff::Timestamp;
use serde::Serialize;

use super::{Experiment, ProbeReport, ProbeVerdict, Report, table};
use crate::{
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
    pub(crate) warnings: Vec<String>,
    pub(crate) left_behind: Vec<LeftBehind>,
    /// What stopped the run early.
    pub(crate) error: Option<String>,
    pub(crate) aborted: bool,
    /// By which stop condition.
    pub(crate) stopped: Option<Stopped>,
    /// Removes whatever this run may have left, typed by hand.
    pub(crate) recover_with: String,
}

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
    pub(crate) replaced_by: Vec<String>,
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
    pub(crate) fn new(plan: &Plan, started_at: Timestamp) -> Self {
        Self {
            experiment: Experiment::of(plan),
            exit: Exit::Failed,
            started_at,
            ended_at: started_at,
            tasks: plan.tasks.iter().map(TaskReport::of).collect(),
            probes: Vec::new(),
            warnings: plan.warnings.clone(),
            left_behind: Vec::new(),
            error: None,
            aborted: false,
            stopped: None,
            recover_with: recover_with(plan),
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
        let good = |task: &TaskReport| match task.outcome {
            TaskOutcome::Faulted => task.verified_on && task.verified_off,
            // ECS replaces tasks that fail their health checks: the fault had its effect.
            TaskOutcome::TargetGone => verify::had_effect(&task.counters),
            // The other one has a record of its own.
            TaskOutcome::Replaced => true,
            TaskOutcome::NotTried | TaskOutcome::NoTraffic | TaskOutcome::Failed => false,
        };
        self.error.is_none() && self.stopped.is_none() && self.tasks.iter().all(good)
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
            let proved = match (task.verified_on, task.verified_off) {
                (true, true) => "on and off",
                (true, false) => "on",
                (false, true) => "off",
                (false, false) => "-",
            };
            rows.add_row([
                task.task.clone(),
                task.container.clone().unwrap_or_else(|| "-".to_owned()),
                task.instance.clone(),
                task.outcome.words().to_owned(),
                time(task.injected_at),
                time(task.removed_at),
                task.counters.faulted.to_string(),
                task.counters.spared.to_string(),
                proved.to_owned(),
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
            if !task.replaced_by.is_empty() {
                let by = task.replaced_by.join(", ");
                let how = if task.outcome == TaskOutcome::Replaced {
                    "this run took"
                } else {
                    "its service has started"
                };
                text.push_str(&format!("task {} went away; {how} {by}\n", task.task));
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
    fn summary(&self) -> String {
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
    fn words(self) -> &'static str {
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
