//! What the agents' words mean for the run. Pure: no I/O, no clock.

use std::io::Read;

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::read::GzDecoder;
use httpfault_common::contract::{
    CheckReport, Counters, Event, ExperimentId, FaultStatus, Injected, Outcome, Phase, Problem, RemoveReport,
    Removed, StatusReport,
};
use serde::de::DeserializeOwned;

use crate::report::{TaskOutcome, TaskReport};

/// Before an output that is compressed.
const COMPRESSED: &str = "httpfault: gzip ";
/// More than an agent with 100 targets prints, bytes.
const LONGEST_OUTPUT: u64 = 4 * 1024 * 1024;

/// A fault on one host, as `status` shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Steering {
    /// Proved by the agent's own probe connection.
    On(Box<FaultStatus>),
    /// The agent is there and has not proved it yet.
    Starting,
    /// The agent no longer serves it, but it is not swept up.
    Left(Phase),
    Off,
}

/// The JSON lines of `run`; other lines are not the agent's.
pub(crate) fn events(stdout: &str) -> Vec<Event> {
    lines(stdout)
}

pub(crate) fn status(stdout: &str) -> Option<StatusReport> {
    lines(stdout).pop()
}

pub(crate) fn removal(stdout: &str) -> Option<RemoveReport> {
    lines(stdout).pop()
}

fn lines<T: DeserializeOwned>(stdout: &str) -> Vec<T> {
    let mut found = Vec::new();
    for line in stdout.lines().map(str::trim) {
        match line.strip_prefix(COMPRESSED) {
            Some(text) => found.extend(lines(&decompressed(text).unwrap_or_default())),
            None if line.starts_with('{') => found.extend(serde_json::from_str::<T>(line).ok()),
            None => {}
        }
    }
    found
}

/// What `tell.sh` makes of an output that is too long for SSM. `None` where it was cut nevertheless.
fn decompressed(text: &str) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    let mut plain = String::new();
    GzDecoder::new(bytes.as_slice()).take(LONGEST_OUTPUT).read_to_string(&mut plain).ok()?;
    // It is not compressed twice.
    Some(plain.replace(COMPRESSED, ""))
}

/// Where the experiment's fault is on a host.
pub(crate) fn steering(report: &StatusReport, experiment: &ExperimentId) -> Steering {
    let Some(fault) = report.faults.iter().find(|fault| fault.experiment_id == *experiment) else {
        return Steering::Off;
    };
    match fault.phase {
        Phase::On => Steering::On(Box::new(fault.clone())),
        Phase::Starting => Steering::Starting,
        phase @ (Phase::Ending | Phase::NotResponding | Phase::Stale) => Steering::Left(phase),
    }
}

/// Puts what an event says of a target, named as the agent does, into the record of its task.
pub(crate) fn take_event(event: &Event, target: &str, task: &mut TaskReport) {
    match event {
        Event::Injected(injected) => take_injected(injected, target, task),
        Event::Removed(removed) => take_removed(removed, target, task),
        Event::Refused(check) => take_refused(check, target, task),
        Event::AlreadyRunning(status) => task.injected_at = status.injected_at,
    }
}

fn take_injected(injected: &Injected, target: &str, task: &mut TaskReport) {
    let Some(found) = injected.targets.iter().find(|found| found.target == target) else { return };
    match &found.error {
        Some(problem) => fail(task, problem.clone()),
        None => task.injected_at = Some(injected.at),
    }
}

fn take_removed(removed: &Removed, target: &str, task: &mut TaskReport) {
    let Some(found) = removed.targets.iter().find(|found| found.target == target) else { return };
    task.outcome = match found.outcome {
        Outcome::Faulted => TaskOutcome::Faulted,
        Outcome::NoTraffic => TaskOutcome::NoTraffic,
        Outcome::TargetGone => TaskOutcome::TargetGone,
        Outcome::Failed => TaskOutcome::Failed,
    };
    task.injected_at = task.injected_at.or(removed.injected_at);
    task.removed_at = Some(removed.removed_at);
    task.reason = Some(removed.reason);
    task.counters = found.counters.clone();
    task.counters_at = Some(removed.removed_at);
    task.causes.clone_from(&found.causes);
    task.error = found.error.clone().or(task.error.take());
}

/// Puts an agent's last word into the record of a task whose report did not come.
pub(crate) fn take_last_word(word: &Removed, target: &str, task: &mut TaskReport) {
    if word.targets.iter().all(|found| found.target != target) {
        return;
    }
    let of_its_own = (task.outcome, task.error.clone());
    take_removed(word, target, task);
    if let Some(at) = word.counters_at {
        task.counters_at = Some(at);
        task.removed_at = None;
    }
    // What went wrong with its command is not undone by what the agent did.
    if of_its_own.0 == TaskOutcome::Failed {
        (task.outcome, task.error) = of_its_own;
    }
}

fn take_refused(check: &CheckReport, target: &str, task: &mut TaskReport) {
    let own = check.targets.iter().find(|found| found.target == target).and_then(|found| found.error.clone());
    let problem = own.or_else(|| check.problems.first().cloned()).unwrap_or_else(|| Problem {
        subject: target.to_owned(),
        problem: "the agent refused it without a reason".to_owned(),
        next: "run `httpfault-agent check` on the host".to_owned(),
    });
    fail(task, problem);
}

fn fail(task: &mut TaskReport, problem: Problem) {
    task.outcome = TaskOutcome::Failed;
    task.error = Some(problem);
}

/// Whether some of the answers were the fault.
pub(crate) fn had_effect(counters: &Counters) -> bool {
    counters.faulted > 0
}

#[cfg(test)]
mod golden;

#[cfg(test)]
mod hostile;

#[cfg(test)]
mod tests {
    use super::*;

    const INJECTED: &str = r#"{"event":"injected","experiment_id":"e1","at":"2026-01-01T00:00:00Z","deadline":"2026-01-01T00:01:00Z","targets":[{"target":"container a","found":"web","source":"docker"},{"target":"container b","found":"web","source":"docker","error":{"subject":"container b","problem":"nobody listens","next":"look"}}]}"#;
    const REMOVED: &str = r#"{"event":"removed","exit":0,"experiment_id":"e1","reason":"deadline","removed_at":"2026-01-01T00:01:00Z","targets":[{"target":"container a","outcome":"faulted","counters":{"faulted":7}}]}"#;

    fn task() -> TaskReport {
        TaskReport::default()
    }

    #[test]
    fn each_task_gets_its_own_outcome() {
        let noise = format!("sudo: something\n{INJECTED}\n{{broken\n{REMOVED}\n");
        let (mut a, mut b) = (task(), task());
        for event in events(&noise) {
            take_event(&event, "container a", &mut a);
            take_event(&event, "container b", &mut b);
        }
        assert_eq!(a.outcome, TaskOutcome::Faulted);
        assert_eq!(a.counters.faulted, 7);
        assert!(a.injected_at.is_some() && a.removed_at.is_some());
        assert_eq!(b.outcome, TaskOutcome::Failed);
        assert_eq!(b.error.unwrap().problem, "nobody listens");
    }

    #[test]
    fn another_experiment_on_the_host_is_not_ours() {
        let report = status(
            r#"{"faults":[{"experiment_id":"other","phase":"on","agent_pid":1,"port":80,"status_code":503}]}"#,
        );
        assert_eq!(steering(&report.unwrap(), &"e1".parse().unwrap()), Steering::Off);
    }
}
