//! What the agent prints, word for word, kept for each release: a controller meets agents of other versions, in AMIs
//! and on hosts that were visited before. `httpfault-ctl` reads the files of every release in its own tests.
//!
//! Until a version is released its files may be written again: `HTTPFAULT_GOLDEN=write cargo test -p httpfault-common`.
#![cfg(feature = "contract")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which end with them")]

use std::{fs, path::PathBuf};

use httpfault_common::contract::{
    CheckReport, Counters, Event, Exit, FaultStatus, History, Injected, InjectedTarget, LeftBehind, Outcome,
    Phase, Problem, RemoveReport, Removed, RemovedFault, RemovedHow, RemovedReason, StatusReport,
    TargetReport,
};
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

const A: &str = "container 3f4e9a";
const B: &str = "task 0123456789abcdef";

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(env!("CARGO_PKG_VERSION"))
}

/// The lines are what is printed today, and what is printed today can be read again.
#[track_caller]
fn golden<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(name: &str, lines: &[T]) {
    let printed: String = lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect();
    let path = directory().join(name);
    if std::env::var_os("HTTPFAULT_GOLDEN").is_some_and(|value| value == "write") {
        fs::create_dir_all(directory()).unwrap();
        fs::write(&path, &printed).unwrap();
    }
    let kept =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()));
    assert_eq!(
        printed, kept,
        "{name} has changed; if no release prints the old form: HTTPFAULT_GOLDEN=write cargo test -p httpfault-common"
    );
    let read: Vec<T> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, lines);
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + seconds).unwrap()
}

fn problem() -> Problem {
    Problem {
        subject: "port 80".to_owned(),
        problem: "nobody listens on it".to_owned(),
        next: "start the application, or set TARGET_SERVICE_PORT".to_owned(),
    }
}

fn left() -> Vec<LeftBehind> {
    vec![LeftBehind {
        what: "TC filter on eth0".to_owned(),
        error: "device or resource busy".to_owned(),
        remove_with: "httpfault-agent remove --experiment-id exp-1".to_owned(),
    }]
}

fn found(target: &str, error: Option<Problem>) -> InjectedTarget {
    InjectedTarget {
        target: target.to_owned(),
        found: "web (3f4e9a)".to_owned(),
        source: "docker".to_owned(),
        error,
    }
}

fn counted(target: &str, outcome: Outcome, faulted: u64) -> TargetReport {
    let counters =
        Counters { connections_inbound: faulted, requests_http11: faulted, faulted, ..Counters::default() };
    let causes = if faulted == 0 { vec!["no connection came to the port".to_owned()] } else { Vec::new() };
    TargetReport { target: target.to_owned(), outcome, counters, causes, error: None }
}

fn status(phase: Phase) -> FaultStatus {
    FaultStatus {
        experiment_id: "exp-1".parse().unwrap(),
        phase,
        agent_pid: 4711,
        injected_at: Some(at(0)),
        deadline: Some(at(60)),
        port: 80,
        status_code: 503,
        targets: vec![counted(A, Outcome::Faulted, 3)],
    }
}

fn removed(reason: RemovedReason, targets: Vec<TargetReport>, left_behind: Vec<LeftBehind>) -> Event {
    Event::Removed(report(reason, targets, left_behind))
}

fn report(reason: RemovedReason, targets: Vec<TargetReport>, left_behind: Vec<LeftBehind>) -> Removed {
    Removed {
        exit: if left_behind.is_empty() { Exit::Done } else { Exit::LeftBehind },
        experiment_id: "exp-1".parse().unwrap(),
        reason,
        injected_at: Some(at(0)),
        removed_at: at(60),
        counters_at: None,
        targets,
        left_behind,
        warnings: Vec::new(),
        history: None,
    }
}

fn history() -> History {
    History {
        from: at(-1),
        step_ms: 1000,
        steps: 62,
        faulted: vec![0, 4, 3],
        forwarded: Vec::new(),
        spared: vec![0, 1],
        escaped: Vec::new(),
        connections: vec![0, 5, 2],
    }
}

#[test]
fn run() {
    let injected = |second| {
        Event::Injected(Injected {
            experiment_id: "exp-1".parse().unwrap(),
            at: at(0),
            deadline: at(60),
            targets: vec![found(A, None), found(B, second)],
            warnings: vec!["its container is in cgroup v1".to_owned()],
        })
    };
    let both = vec![counted(A, Outcome::Faulted, 7), counted(B, Outcome::NoTraffic, 0)];
    golden("run-faulted.jsonl", &[injected(None), removed(RemovedReason::Deadline, both, Vec::new())]);
    let one = vec![counted(A, Outcome::TargetGone, 7)];
    golden(
        "run-one-failed.jsonl",
        &[injected(Some(problem())), removed(RemovedReason::TargetGone, one, Vec::new())],
    );
    let one = vec![counted(A, Outcome::Failed, 7)];
    golden("run-left-behind.jsonl", &[injected(None), removed(RemovedReason::Lease, one, left())]);
    let with_history = Removed {
        history: Some(Box::new(history())),
        ..report(RemovedReason::Deadline, vec![counted(A, Outcome::Faulted, 7)], Vec::new())
    };
    golden("run-history.jsonl", &[injected(None), Event::Removed(with_history)]);
    golden("run-already.jsonl", &[Event::AlreadyRunning(status(Phase::On))]);
    let check = CheckReport {
        ready: false,
        experiment_id: "exp-1".parse().unwrap(),
        problems: vec![problem()],
        warnings: Vec::new(),
        targets: vec![found(A, Some(problem())), found(B, None)],
    };
    golden("run-refused.jsonl", &[Event::Refused(check)]);
}

#[test]
fn status_and_remove() {
    let phases = [Phase::On, Phase::Starting, Phase::Ending, Phase::NotResponding, Phase::Stale];
    let one = |phase| StatusReport { faults: vec![status(phase)], ended: None };
    golden("status.jsonl", &phases.map(one));
    golden("status-nothing.jsonl", &[StatusReport::default()]);
    let ended = |counters_at, reason| {
        let word = report(reason, vec![counted(A, Outcome::Faulted, 7)], Vec::new());
        let word = Removed { counters_at, removed_at: counters_at.unwrap_or(word.removed_at), ..word };
        StatusReport { faults: Vec::new(), ended: Some(Box::new(word)) }
    };
    let words = [ended(None, RemovedReason::Deadline), ended(Some(at(30)), RemovedReason::Signal)];
    golden("status-ended.jsonl", &words);
    let how = |how| RemovedFault { experiment_id: "exp-1".to_owned(), how };
    let removed = vec![how(RemovedHow::Ended), how(RemovedHow::Killed), how(RemovedHow::Swept)];
    let done = RemoveReport { exit: Exit::Done, removed, left_behind: Vec::new() };
    let left = RemoveReport { exit: Exit::LeftBehind, removed: Vec::new(), left_behind: left() };
    golden("remove.jsonl", &[done, left]);
}
