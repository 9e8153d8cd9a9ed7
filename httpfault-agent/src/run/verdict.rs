//! What a run comes to: outcome and exit code. No I/O.

use httpfault_common::contract::{
    Counters, Exit, InjectedTarget, LeftBehind, Outcome, Removed, RemovedReason, RunSpec, TargetReport,
};
use jiff::Timestamp;

use crate::fault::Fault;

/// The final report.
pub(super) fn removed(
    spec: &RunSpec,
    injected_at: Option<Timestamp>,
    reason: RemovedReason,
    targets: Vec<TargetReport>,
    left_behind: Vec<LeftBehind>,
    warnings: Vec<String>,
) -> Removed {
    Removed {
        exit: exit(reason, &targets, &left_behind),
        experiment_id: spec.experiment_id.clone(),
        reason,
        injected_at,
        removed_at: Timestamp::now(),
        counters_at: None,
        targets,
        left_behind,
        warnings,
        history: None,
    }
}

/// What there is to say if the agent is killed now, as SSM does when a command is cancelled.
pub(super) fn so_far(spec: &RunSpec, injected_at: Timestamp, faults: &[Fault]) -> Removed {
    let targets = faults.iter().map(Fault::target_report).collect();
    let (reason, nothing) = (RemovedReason::Signal, Vec::new());
    let word = removed(spec, Some(injected_at), reason, targets, nothing, Vec::new());
    Removed { counters_at: Some(word.removed_at), ..word }
}

/// The report of a target that was never injected.
pub(super) fn failed(target: InjectedTarget) -> TargetReport {
    TargetReport {
        target: target.target,
        outcome: Outcome::Failed,
        counters: Counters::default(),
        causes: Vec::new(),
        error: target.error,
    }
}

/// What is left behind outranks everything; a fault that touched no request is no success.
fn exit(reason: RemovedReason, targets: &[TargetReport], left_behind: &[LeftBehind]) -> Exit {
    if !left_behind.is_empty() {
        return Exit::LeftBehind;
    }
    match reason {
        RemovedReason::InjectionFailed => Exit::Failed,
        RemovedReason::Signal => Exit::Aborted,
        RemovedReason::Lease | RemovedReason::TargetGone => Exit::Partly,
        RemovedReason::Deadline | RemovedReason::Request => {
            let done = targets.iter().all(|target| target.outcome == Outcome::Faulted);
            if done { Exit::Done } else { Exit::Partly }
        }
    }
}
