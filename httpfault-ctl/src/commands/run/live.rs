//! What a run has put on so far. It outlives the story, so that an abort at any point knows what to take off.

use std::collections::{BTreeMap, BTreeSet};

use httpfault_common::contract::{Event, ExperimentId, LeftBehind, Problem};
use jiff::Timestamp;

use crate::{
    aws::{Answer, Cloud, Sent},
    fleet::InstanceId,
    plan::{HostRun, Plan},
    report::{RunReport, TaskOutcome, TaskReport},
    verify,
};

/// A run in progress.
pub(super) struct Live {
    pub(super) cloud: Cloud,
    pub(super) plan: Plan,
    pub(super) report: RunReport,
    /// Inject commands by window, also those whose answer has not come yet.
    pub(super) ledger: Vec<Vec<Sent>>,
    /// Hosts that could not be given the agent.
    pub(super) unready: BTreeSet<InstanceId>,
    /// Hosts whose inject command was not seen to end.
    pub(super) unended: BTreeSet<InstanceId>,
    /// What agents said that they could not undo.
    pub(super) agents_left: BTreeMap<InstanceId, Vec<LeftBehind>>,
    /// Everything that was put on was seen off.
    over: bool,
}

impl Live {
    pub(super) fn new(cloud: Cloud, plan: Plan) -> Self {
        let report = RunReport::new(&plan, Timestamp::now());
        let ledger = plan.windows.iter().map(|_| Vec::new()).collect();
        Self {
            cloud,
            plan,
            report,
            ledger,
            unready: BTreeSet::new(),
            unended: BTreeSet::new(),
            agents_left: BTreeMap::new(),
            over: false,
        }
    }

    pub(super) fn experiment(&self) -> ExperimentId {
        self.plan.experiment.clone()
    }

    /// Whether a host may have been told to put a fault on.
    pub(super) fn may_be_on(&self) -> bool {
        self.ledger.iter().any(|sent| !sent.is_empty())
    }

    pub(super) fn all_proved_off(&mut self) {
        self.over = true;
    }

    /// Whether nothing has to be taken off any more.
    pub(super) fn is_over(&self) -> bool {
        self.over || !self.may_be_on()
    }

    /// The hosts of a window that were given the agent.
    pub(super) fn ready_runs(&self, window: usize) -> Vec<HostRun> {
        let runs = self.plan.windows.get(window).map(|window| window.runs.clone()).unwrap_or_default();
        runs.into_iter().filter(|run| !self.unready.contains(&run.instance)).collect()
    }

    /// All inject commands.
    pub(super) fn sent(&self) -> Vec<Sent> {
        self.ledger.iter().flatten().cloned().collect()
    }

    /// The inject commands of a window.
    pub(super) fn sent_in(&self, window: usize) -> Vec<Sent> {
        self.ledger.get(window).cloned().unwrap_or_default()
    }

    /// The records of one host's tasks, each with its target's name as the agent writes it.
    pub(super) fn tasks_of(&mut self, run: &HostRun) -> Vec<(String, &mut TaskReport)> {
        let names: BTreeMap<usize, String> = run
            .tasks
            .iter()
            .zip(&run.spec.targets)
            .map(|(index, target)| (*index, target.to_string()))
            .collect();
        let tasks = self.report.tasks.iter_mut().enumerate();
        tasks.filter_map(|(index, task)| Some((names.get(&index)?.clone(), task))).collect()
    }

    /// Notes a host's failure on each of its tasks that has no reason of its own yet.
    pub(super) fn fail_host(&mut self, run: &HostRun, problem: &Problem) {
        for (_, task) in self.tasks_of(run) {
            if task.outcome == TaskOutcome::NotTried && task.error.is_none() {
                task.outcome = TaskOutcome::Failed;
                task.error = Some(problem.clone());
            }
        }
    }

    /// Puts the output of an ended inject command into the records.
    pub(super) fn take_answer(&mut self, run: &HostRun, answer: &Answer) {
        let events = verify::events(&answer.stdout);
        let mut tasks = self.tasks_of(run);
        let mut named: Vec<(&str, &mut TaskReport)> =
            tasks.iter_mut().map(|(name, task)| (name.as_str(), &mut **task)).collect();
        verify::take_events(&events, &mut named);
        for event in &events {
            self.take_remarks(&answer.instance, event);
        }
        if events.iter().any(|event| matches!(event, Event::AlreadyRunning(_))) {
            self.judge_by_status(run);
        } else {
            self.fail_host(
                run,
                &Problem {
                    subject: format!("instance {}", answer.instance),
                    problem: answer.failure(),
                    next: "look at the command in SSM's history, or run `httpfault-agent check` on the host"
                        .to_owned(),
                },
            );
        }
    }

    /// Nothing more is put on while something can't be taken off.
    pub(super) fn nothing_left(&self) -> anyhow::Result<()> {
        if self.report.left_behind.is_empty() {
            return Ok(());
        }
        anyhow::bail!("the fault can't be proved to be off everywhere, so nothing more was put on");
    }

    /// A host that was left behind is seen off after all.
    pub(super) fn not_left_on(&mut self, host: &InstanceId) {
        let what = self.left_what(host);
        self.report.left_behind.retain(|left| left.what != what);
    }

    fn left_what(&self, host: &InstanceId) -> String {
        format!("experiment {} on instance {host}", self.plan.experiment)
    }

    /// Notes that a host can't be proved to be free of the fault.
    pub(super) fn left_on(&mut self, host: &InstanceId, error: String) {
        let what = self.left_what(host);
        if !self.report.left_behind.iter().any(|left| left.what == what) {
            self.report.left_behind.push(LeftBehind {
                what,
                error,
                remove_with: self.report.recover_with.clone(),
            });
        }
    }

    /// The command that held the fault is not the one that was followed, so its last report is missing: what `status`
    /// showed has to do.
    fn judge_by_status(&mut self, run: &HostRun) {
        let mut judged = false;
        for (_, task) in self.tasks_of(run) {
            if task.outcome == TaskOutcome::NotTried && task.verified_on {
                let had_effect = verify::had_effect(&task.counters);
                task.outcome = if had_effect { TaskOutcome::Faulted } else { TaskOutcome::NoTraffic };
                judged = true;
            }
        }
        if judged {
            let host = &run.instance;
            self.warn(format!(
                "instance {host}: SSM ran the command twice and shows the wrong output; the counters are from the last look"
            ));
        }
    }

    /// Warnings of an agent, and what it could not undo.
    fn take_remarks(&mut self, host: &InstanceId, event: &Event) {
        let warnings = match event {
            Event::Injected(injected) => &injected.warnings,
            Event::Refused(check) => &check.warnings,
            Event::Removed(removed) => {
                if !removed.left_behind.is_empty() {
                    self.agents_left.insert(host.clone(), removed.left_behind.clone());
                }
                &removed.warnings
            }
            Event::AlreadyRunning(_) => return,
        };
        for warning in warnings {
            self.warn(format!("instance {host}: {warning}"));
        }
    }

    /// Puts into the report what agents could not undo and `remove` could not either.
    pub(super) fn note_agents_left(&mut self) {
        for (host, left) in std::mem::take(&mut self.agents_left) {
            for left in left {
                let what = format!("{} on instance {host}", left.what);
                self.report.left_behind.push(LeftBehind { what, ..left });
            }
        }
    }

    pub(super) fn warn(&mut self, warning: String) {
        if !self.report.warnings.contains(&warning) {
            self.report.warnings.push(warning);
        }
    }
}
