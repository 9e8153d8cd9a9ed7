//! Reports for people.

use std::fmt::Write as _;

use httpfault_common::contract::{
    CheckReport, Counters, Event, FaultStatus, InjectedTarget, LeftBehind, Outcome, Phase, RemoveReport,
    Removed, RemovedHow, RemovedReason, StatusReport, TargetReport,
};
use jiff::{SignedDuration, Timestamp};

pub(super) fn event(event: &Event) -> String {
    match event {
        Event::Injected(injected) => {
            let mut lines = vec![format!(
                "{}: fault is on and proved, until {:.0}",
                injected.experiment_id, injected.deadline
            )];
            lines.extend(injected.targets.iter().map(target));
            lines.extend(injected.warnings.iter().map(|warning| format!("  warning: {warning}")));
            lines.join("\n")
        }
        Event::Removed(report) => removed(report),
        Event::Refused(report) => format!("nothing was changed\n{}", check(report)),
        Event::AlreadyRunning(running) => {
            format!("this experiment runs already; nothing was changed\n{}", fault(running))
        }
    }
}

pub(super) fn check(report: &CheckReport) -> String {
    let mut lines: Vec<String> = report.targets.iter().map(target).collect();
    lines.extend(report.problems.iter().map(|problem| format!("  problem: {problem}")));
    lines.extend(report.warnings.iter().map(|warning| format!("  warning: {warning}")));
    lines.push(if report.ready { "ready".into() } else { "not ready".into() });
    lines.join("\n")
}

pub(super) fn status(report: &StatusReport) -> String {
    let mut lines: Vec<String> = report.faults.iter().map(fault).collect();
    if lines.is_empty() {
        lines.push("no fault on this host".into());
    }
    lines.extend(report.ended.as_deref().map(last_word));
    lines.join("\n")
}

pub(super) fn remove(report: &RemoveReport) -> String {
    let mut lines: Vec<String> = report
        .removed
        .iter()
        .map(|removed| {
            let how = match removed.how {
                RemovedHow::Ended => "ended",
                RemovedHow::Killed => "its agent did not answer and was killed; swept up",
                RemovedHow::Swept => "its agent was gone; swept up",
            };
            format!("{}: {how}", removed.experiment_id)
        })
        .collect();
    lines.extend(report.left_behind.iter().map(left_behind));
    if lines.is_empty() {
        lines.push("nothing to remove".into());
    }
    lines.join("\n")
}

fn removed(report: &Removed) -> String {
    let why = match report.reason {
        RemovedReason::Deadline => "the duration is over",
        RemovedReason::Signal => "a signal",
        RemovedReason::Request => "httpfault-agent remove",
        RemovedReason::TargetGone => "the target exited",
        RemovedReason::Lease => "the agent was stopped or starved and lost its lease",
        RemovedReason::InjectionFailed => "no target could be injected",
    };
    let clean = if report.left_behind.is_empty() {
        "removed, nothing left behind"
    } else {
        "SOMETHING WAS LEFT BEHIND"
    };
    let mut lines = vec![format!("{}: {clean} ({why})", report.experiment_id)];
    lines.extend(report.targets.iter().map(outcome));
    lines.extend(report.warnings.iter().map(|warning| format!("  warning: {warning}")));
    lines.extend(report.left_behind.iter().map(left_behind));
    lines.join("\n")
}

/// Of a fault that is over.
fn last_word(word: &Removed) -> String {
    match word.counters_at {
        Some(at) => {
            let lines: Vec<String> = word.targets.iter().map(outcome).collect();
            format!("{}: its agent was killed; as of {at:.0}:\n{}", word.experiment_id, lines.join("\n"))
        }
        None => removed(word),
    }
}

fn target(target: &InjectedTarget) -> String {
    match &target.error {
        Some(problem) => format!("  {problem}"),
        None => format!("  {}: {} (found by {})", target.target, target.found, target.source),
    }
}

fn outcome(report: &TargetReport) -> String {
    let verdict = match report.outcome {
        Outcome::Faulted => "faulted",
        Outcome::NoTraffic => "NO REQUEST WAS FAULTED",
        Outcome::TargetGone => "the target exited",
        Outcome::Failed => "FAILED",
    };
    let mut text = format!("  {}: {verdict}{}", report.target, counters(&report.counters));
    for cause in &report.causes {
        let _infallible = write!(text, "\n    likely cause: {cause}");
    }
    if let Some(problem) = &report.error {
        let _infallible = write!(text, "\n    {problem}");
    }
    text
}

/// The counters that are not zero, by the names that the JSON report gives them.
fn counters(counters: &Counters) -> String {
    match serde_json::to_value(counters) {
        Ok(serde_json::Value::Object(counts)) => counts
            .iter()
            .map(|(name, count)| format!("\n    {:<22}{count}", name.replace('_', " ")))
            .collect(),
        _ => String::new(),
    }
}

fn fault(fault: &FaultStatus) -> String {
    let phase = match fault.phase {
        Phase::Starting => "starting",
        Phase::On => "on",
        Phase::Ending => "ending",
        Phase::NotResponding => "agent does not answer; the kernel has given the traffic back",
        Phase::Stale => "stale: its agent is gone; `httpfault-agent remove` sweeps up",
    };
    let left = fault.deadline.map(|deadline| {
        let seconds = deadline.duration_since(Timestamp::now()).max(SignedDuration::ZERO).as_secs();
        format!(", {seconds} s left")
    });
    let mut lines = vec![format!(
        "{}: {phase}; status {} on port {}{}, agent pid {}",
        fault.experiment_id,
        fault.status_code,
        fault.port,
        left.unwrap_or_default(),
        fault.agent_pid
    )];
    lines.extend(
        fault.targets.iter().map(|report| format!("  {}{}", report.target, counters(&report.counters))),
    );
    lines.join("\n")
}

fn left_behind(left: &LeftBehind) -> String {
    format!("  LEFT BEHIND: {}: {}; remove it with: {}", left.what, left.error, left.remove_with)
}
