//! What every step of a run works with: AWS, the plan, the report that grows, and what is known of the hosts.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use httpfault_common::contract::{
    Counters, Event, ExperimentId, LeftBehind, Problem, Removed, RemovedReason,
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    aws::{Answer, Cloud, Errands, State},
    fleet::InstanceId,
    metrics::Meter,
    plan::{HostRun, Plan},
    removal::{Verdict, Verdicts},
    report::{HostHistory, RunReport, TaskOutcome, TaskReport},
    verify,
};

pub(super) struct Desk {
    pub(super) cloud: Cloud,
    /// Its windows are `Live`'s.
    pub(super) plan: Plan,
    pub(super) report: RunReport,
    pub(super) meter: Meter,
    /// Looks and removals that were not answered yet.
    pub(super) errands: Errands,
    /// Hosts that have the agent.
    pub(super) ready: BTreeSet<InstanceId>,
    /// Hosts that could not be given it.
    pub(super) unready: BTreeSet<InstanceId>,
    /// Hosts that went away.
    pub(super) gone: BTreeSet<InstanceId>,
    /// Hosts whose inject command was not seen to end.
    pub(super) unended: BTreeSet<InstanceId>,
    /// Hosts on which this run cancelled it.
    pub(super) cancelled: BTreeSet<InstanceId>,
    /// What agents said that they could not undo.
    pub(super) agents_left: BTreeMap<InstanceId, Vec<LeftBehind>>,
    /// Reports that agents kept, for the case that the command's output does not have them.
    last_words: BTreeMap<InstanceId, Box<Removed>>,
}

impl Desk {
    /// From now on it is a run.
    pub(super) fn new(cloud: Cloud, plan: Plan, repeat_with: String, meter: Meter) -> Self {
        Self {
            cloud,
            report: RunReport::new(&plan, Timestamp::now(), repeat_with),
            meter,
            plan,
            errands: Errands::default(),
            ready: BTreeSet::new(),
            unready: BTreeSet::new(),
            gone: BTreeSet::new(),
            unended: BTreeSet::new(),
            cancelled: BTreeSet::new(),
            agents_left: BTreeMap::new(),
            last_words: BTreeMap::new(),
        }
    }

    pub(super) fn experiment(&self) -> ExperimentId {
        self.plan.experiment.clone()
    }

    /// Whether a host can be told anything.
    pub(super) fn is_ready(&self, host: &InstanceId) -> bool {
        self.ready.contains(host) && !self.gone.contains(host)
    }

    /// Whether nobody has tried to give it the agent.
    pub(super) fn is_new(&self, host: &InstanceId) -> bool {
        !self.ready.contains(host) && !self.unready.contains(host)
    }

    /// Each of a host's tasks with its target's name as the agent writes it.
    pub(super) fn each_task(&mut self, run: &HostRun, mut with: impl FnMut(&str, &mut TaskReport)) {
        for (index, target) in run.tasks.iter().zip(&run.spec.targets) {
            if let Some(task) = self.report.tasks.get_mut(*index) {
                with(&target.to_string(), task);
            }
        }
    }

    /// Notes a host's failure on each of its tasks that has no reason of its own yet.
    pub(super) fn fail_host(&mut self, run: &HostRun, problem: &Problem) {
        self.each_task(run, |_, task| {
            if task.outcome == TaskOutcome::NotTried && task.error.is_none() {
                task.outcome = TaskOutcome::Failed;
                task.error = Some(problem.clone());
            }
        });
    }

    /// A host that went away is a warning of its tasks.
    pub(super) fn host_gone(&mut self, host: &InstanceId, why: &str) {
        if !self.gone.insert(host.clone()) {
            return;
        }
        self.warn(format!(
            "instance {host} went away: {why}; if it still runs, its agent ends the fault at the deadline"
        ));
        for task in self.report.tasks.iter_mut().filter(|task| task.instance == host.as_str()) {
            if task.outcome == TaskOutcome::NotTried {
                task.outcome = TaskOutcome::TargetGone;
            }
        }
    }

    /// Puts the output of an ended inject command into the records.
    pub(super) fn take_answer(&mut self, run: &HostRun, answer: &Answer) {
        let events = verify::events(&answer.stdout);
        let cancelled = answer.state == State::Cancelled;
        let already = events.iter().any(|event| matches!(event, Event::AlreadyRunning(_)));
        self.each_task(run, |target, task| {
            events.iter().for_each(|event| verify::take_event(event, target, task));
            if cancelled && task.injected_at.is_some() && task.reason.is_none() {
                task.reason = Some(RemovedReason::Signal);
            }
        });
        events.iter().for_each(|event| self.take_remarks(&answer.instance, event));
        self.take_last_word(run);
        // The agent's last word is missing where another command held the fault, and where this run cancelled it.
        if already || self.cancelled.contains(&answer.instance) {
            self.judge_by_look(run);
        }
        let next = "look at the command in SSM's history, or run `httpfault-agent check` on the host";
        self.fail_host(run, &problem(&answer.instance, &answer.failure(), next));
    }

    /// Keeps what agents have to say beside their commands' outputs.
    pub(super) fn note_last_words(&mut self, verdicts: &Verdicts) {
        for (host, verdict) in verdicts {
            if let Verdict::Off(removed) | Verdict::On(removed) = verdict
                && let Some(word) = &removed.last_word
            {
                self.last_words.insert(host.clone(), word.clone());
            }
        }
    }

    /// Takes it for the tasks whose report is missing. A word from before this run is another run's.
    pub(super) fn take_last_word(&mut self, run: &HostRun) {
        let Some(word) = self.last_words.get(&run.instance).cloned() else { return };
        let started = self.report.started_at;
        let mut taken = false;
        self.each_task(run, |target, task| {
            let own = task.injected_at.is_some() || word.injected_at.is_some_and(|at| at >= started);
            if own && task.removed_at.is_none() {
                verify::take_last_word(&word, target, task);
                taken = true;
            }
        });
        if taken {
            self.take_history(&run.instance, &word);
        }
    }

    fn judge_by_look(&mut self, run: &HostRun) {
        self.each_task(run, |_, task| {
            if task.outcome == TaskOutcome::NotTried && task.verified_on {
                let had_effect = verify::had_effect(&task.counters);
                task.outcome = if had_effect { TaskOutcome::Faulted } else { TaskOutcome::NoTraffic };
            }
        });
    }

    /// Counters that are not the agent's last word miss what came after.
    pub(super) fn date_counters(&mut self, run: &HostRun) {
        let mut seen = None;
        self.each_task(run, |_, task| {
            if task.removed_at.is_none() && task.counters != Counters::default() {
                seen = seen.max(task.counters_at);
            }
        });
        if let Some(at) = seen {
            let age = Timestamp::now().duration_since(at).max(SignedDuration::ZERO).as_secs();
            let host = &run.instance;
            let killed = self.last_words.get(host).and_then(|word| word.counters_at);
            self.warn(match killed.filter(|killed| *killed == at) {
                Some(at) => format!(
                    "instance {host}: its agent was killed; the counters are the last that it kept, of {}: they may miss \
                     its last half second",
                    at.strftime("%H:%M:%S")
                ),
                None => format!(
                    "instance {host}: the agent's last report is missing, the counters are of {} ({age} s ago): what came \
                     later is not in them",
                    at.strftime("%H:%M:%S")
                ),
            });
        }
    }

    /// Warnings of an agent, and what it could not undo.
    fn take_remarks(&mut self, host: &InstanceId, event: &Event) {
        let warnings = match event {
            Event::Injected(injected) => &injected.warnings,
            Event::Refused(check) => &check.warnings,
            Event::Removed(removed) => {
                self.take_history(host, removed);
                self.compare_clocks(host, removed);
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

    /// What an agent saw in the course of time. The later word of one run takes the place of the earlier one.
    fn take_history(&mut self, host: &InstanceId, removed: &Removed) {
        let history = removed.history.as_deref();
        let Some(history) = history.and_then(|history| HostHistory::of(host.as_str(), history)) else {
            return;
        };
        self.report.histories.retain(|known| !known.is_of_same_run(&history));
        self.report.histories.push(history);
    }

    /// Times in the report are the hosts' own. One that lies outside of the run shows that a clock is wrong.
    fn compare_clocks(&mut self, host: &InstanceId, removed: &Removed) {
        let ahead = removed.removed_at.duration_since(Timestamp::now());
        let behind =
            removed.injected_at.map_or(SignedDuration::ZERO, |at| self.report.started_at.duration_since(at));
        for (by, how) in [(ahead, "ahead of"), (behind, "behind")] {
            if by > CLOCKS_DIFFER {
                let seconds = by.as_secs();
                self.warn(format!(
                    "instance {host}: its clock is at least {seconds} s {how} this machine's; times in the report are the hosts' own"
                ));
            }
        }
    }

    /// Puts what a removal found into the report: every host is seen free of the fault, or gone, or left behind.
    pub(super) fn take_verdicts(&mut self, verdicts: Verdicts) {
        for (host, verdict) in verdicts {
            match verdict {
                Verdict::Off(_) => {
                    self.agents_left.remove(&host);
                    self.seen_off(&host);
                }
                Verdict::On(removed) if removed.still.is_empty() && !removed.left.is_empty() => {
                    self.agents_left.insert(host, removed.left);
                }
                Verdict::On(_) => self.left_on(&host, "status still shows the fault after remove".to_owned()),
                Verdict::Gone(why) => self.host_gone(&host, &why),
                Verdict::Unclear(why) if self.ended_by_itself(&host) => self.warn(format!(
                    "instance {host}: its agent reported the end, a second look was not possible ({why})"
                )),
                Verdict::Unclear(why) => {
                    self.left_on(&host, format!("{why}; its agent ends the fault by itself at the deadline"));
                }
            }
        }
        for (host, left) in std::mem::take(&mut self.agents_left) {
            for left in left {
                let what = format!("{} on instance {host}", left.what);
                self.report.left_behind.push(LeftBehind { what, ..left });
            }
        }
    }

    fn seen_off(&mut self, host: &InstanceId) {
        let what = self.left_what(host);
        self.report.left_behind.retain(|left| left.what != what);
        for task in self.report.tasks.iter_mut().filter(|task| task.instance == host.as_str()) {
            task.verified_off = task.outcome != TaskOutcome::NotTried || task.injected_at.is_some();
        }
    }

    /// Whether the agent's command has ended, and with it everything on this host.
    fn ended_by_itself(&self, host: &InstanceId) -> bool {
        if self.unended.contains(host) {
            return false;
        }
        let mut here = self.report.tasks.iter().filter(|task| task.instance == host.as_str()).peekable();
        let never_on = |task: &TaskReport| task.outcome == TaskOutcome::Failed && task.injected_at.is_none();
        here.peek().is_some() && here.all(|task| task.removed_at.is_some() || never_on(task))
    }

    /// Nothing more is put on while something can't be taken off.
    pub(super) fn nothing_left(&self) -> anyhow::Result<()> {
        if self.report.left_behind.is_empty() {
            return Ok(());
        }
        bail!("the fault can't be proved to be off everywhere, so nothing more was put on");
    }

    fn left_what(&self, host: &InstanceId) -> String {
        format!("experiment {} on instance {host}", self.plan.experiment)
    }

    /// Notes that a host can't be proved to be free of the fault.
    pub(super) fn left_on(&mut self, host: &InstanceId, error: String) {
        let what = self.left_what(host);
        if !self.report.left_behind.iter().any(|left| left.what == what) {
            let remove_with = self.report.recover_with.clone();
            self.report.left_behind.push(LeftBehind { what, error, remove_with });
        }
    }

    pub(super) fn warn(&mut self, warning: String) {
        if !self.report.warnings.contains(&warning) {
            self.report.warnings.push(warning);
        }
    }
}

/// Clocks that differ by less are as good as those of NTP.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(5);

/// What is wrong with a host.
pub(super) fn problem(host: &InstanceId, problem: &str, next: &str) -> Problem {
    Problem { subject: format!("instance {host}"), problem: problem.to_owned(), next: next.to_owned() }
}
