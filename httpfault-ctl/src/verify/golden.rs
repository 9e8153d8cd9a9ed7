//! The agents of every release, by what they print (`httpfault-common/golden`).

use std::{fs, path::PathBuf};

use httpfault_common::contract::{Exit, RemovedReason};

use super::*;

const A: &str = "container 3f4e9a";
const B: &str = "task 0123456789abcdef";

fn releases() -> Vec<PathBuf> {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../httpfault-common/golden");
    let releases: Vec<PathBuf> = fs::read_dir(golden).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(releases.iter().any(|release| release.ends_with(env!("CARGO_PKG_VERSION"))), "{releases:?}");
    releases
}

/// What the records of two tasks say after a run of each release.
fn after(file: &str) -> Vec<(TaskReport, TaskReport)> {
    let read = |release: PathBuf| {
        let printed = fs::read_to_string(release.join(file)).unwrap();
        let events = events(&printed);
        assert_eq!(events.len(), printed.lines().count(), "{}: a line is not understood", release.display());
        let (mut a, mut b) = (TaskReport::default(), TaskReport::default());
        for event in &events {
            take_event(event, A, &mut a);
            take_event(event, B, &mut b);
        }
        (a, b)
    };
    releases().into_iter().map(read).collect()
}

#[test]
fn a_run_is_understood() {
    for (a, b) in after("run-faulted.jsonl") {
        assert_eq!(
            (a.outcome, a.counters.faulted, a.reason),
            (TaskOutcome::Faulted, 7, Some(RemovedReason::Deadline))
        );
        assert!(a.injected_at.is_some() && a.removed_at.is_some() && had_effect(&a.counters));
        assert_eq!((b.outcome, b.causes.len()), (TaskOutcome::NoTraffic, 1));
    }
    for (a, _) in after("run-history.jsonl") {
        assert_eq!((a.outcome, a.counters.faulted), (TaskOutcome::Faulted, 7));
    }
    for (a, b) in after("run-one-failed.jsonl") {
        assert_eq!(a.outcome, TaskOutcome::TargetGone);
        assert_eq!((b.outcome, b.error.unwrap().subject.as_str()), (TaskOutcome::Failed, "port 80"));
    }
    for (a, _) in after("run-refused.jsonl") {
        assert_eq!((a.outcome, a.error.is_some()), (TaskOutcome::Failed, true));
    }
    for (a, _) in after("run-left-behind.jsonl") {
        assert_eq!((a.outcome, a.reason), (TaskOutcome::Failed, Some(RemovedReason::Lease)));
    }
    for (a, _) in after("run-already.jsonl") {
        assert!(a.injected_at.is_some());
    }
}

#[test]
fn status_and_removal_are_understood() {
    for release in releases() {
        let file = |name: &str| fs::read_to_string(release.join(name)).unwrap();
        let experiment: ExperimentId = "exp-1".parse().unwrap();
        let printed = file("status.jsonl");
        let seen: Vec<Steering> =
            printed.lines().map(|line| steering(&status(line).unwrap(), &experiment)).collect();
        assert!(
            matches!(&seen[..], [Steering::On(fault), Steering::Starting, Steering::Left(_), Steering::Left(_), Steering::Left(_)]
            if fault.targets[0].counters.faulted == 3),
            "{seen:?}"
        );
        assert_eq!(steering(&status(&file("status-nothing.jsonl")).unwrap(), &experiment), Steering::Off);
        let printed = file("remove.jsonl");
        let reports: Vec<RemoveReport> = printed.lines().map(|line| removal(line).unwrap()).collect();
        assert_eq!((reports[0].exit, reports[0].removed.len()), (Exit::Done, 3));
        assert_eq!((reports[1].exit, reports[1].left_behind.len()), (Exit::LeftBehind, 1));
    }
}

#[test]
fn a_last_word_is_understood() {
    for release in releases() {
        let printed = fs::read_to_string(release.join("status-ended.jsonl")).unwrap();
        let words: Vec<TaskReport> = printed
            .lines()
            .map(|line| {
                let (mut task, mut other) = (TaskReport::default(), TaskReport::default());
                let word = status(line).unwrap().ended.unwrap();
                take_last_word(&word, A, &mut task);
                take_last_word(&word, B, &mut other);
                assert!(other.reason.is_none(), "it says nothing of that task");
                task
            })
            .collect();
        let seen = |task: &TaskReport| (task.counters.faulted, task.reason, task.removed_at.is_some());
        assert_eq!(seen(&words[0]), (7, Some(RemovedReason::Deadline), true));
        assert_eq!(seen(&words[1]), (7, Some(RemovedReason::Signal), false), "killed");
        assert!(words[1].counters_at < words[0].counters_at);
    }
}
