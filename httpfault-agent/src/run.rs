//! `run`: look, claim, inject, prove, hold, remove, report. The main story of the agent.

mod inject;
mod hold;
mod verdict;

use std::{sync::Arc, time::Duration};

use httpfault_common::contract::{
    CheckReport, Event, Exit, Injected, LeftBehind, Problem, Removed, RemovedReason, RunSpec, TargetReport,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    args::RunArgs,
    clock::Deadline,
    control,
    fault::{Ended, Fault, Run},
    keeper::Keeper,
    last_word::LastWord,
    lease::Heart,
    preflight::{self, Preflight},
    report::Reporter,
    responder::Responder,
    signal::Signals,
    signs::Signs,
    state::{self, Claim, Refusal, State},
    status, sys,
    view::View,
};

/// The other processes of a run.
pub(crate) struct Parts {
    pub(crate) responder: Responder,
    pub(crate) keeper: Keeper,
    pub(crate) signs: Signs,
}

/// Runs a fault in the foreground.
pub(crate) async fn run(
    spec: RunSpec,
    args: &RunArgs,
    reporter: &Reporter,
    parts: Parts,
) -> anyhow::Result<Exit> {
    let Parts { responder, keeper, signs } = parts;
    // From here on a signal ends the run in order, wherever it is.
    let mut signals = Signals::listen()?;
    sys::raise_file_limit();

    // Without the right to look, the preflight says which privilege is missing.
    if state::entry(&spec.experiment_id).ok().flatten().is_some_and(|entry| entry.alive) {
        return already_running(&spec, reporter).await;
    }
    let looked = tokio::select! {
        looked = preflight::look(&spec, &args.sources) => Some(looked),
        () = signals.received() => None,
    };
    let Some(preflight) = looked else {
        let removed =
            verdict::removed(&spec, None, RemovedReason::Signal, Vec::new(), Vec::new(), Vec::new());
        let exit = removed.exit;
        reporter.event(&Event::Removed(removed));
        return Ok(exit);
    };
    if !preflight.can_run() {
        reporter.event(&Event::Refused(preflight.report(&spec)));
        return Ok(Exit::Failed);
    }
    let deadline = Deadline::after(Duration::from_secs(spec.duration_secs));
    let claim = match Claim::take(written(&spec, &preflight, deadline)) {
        Ok(claim) => claim,
        Err(Refusal::AlreadyRunning) => return already_running(&spec, reporter).await,
        Err(Refusal::Conflict(problem)) => return refused(&spec, &preflight, problem, reporter),
        Err(Refusal::Failed(why)) => return Err(why.context("claiming this host's state directory")),
    };
    keeper.sweep(&spec.experiment_id)?;
    let run = Run {
        spec: Arc::new(spec.clone()),
        heart: Arc::new(Heart::start(signs)?),
        keeper,
        responder,
        log_steering: args.output.log_steering,
        stop: CancellationToken::new(),
    };
    let mut last_word = LastWord::of(&spec.experiment_id);
    let mut outcome =
        inject_hold_remove(&run, preflight, deadline, &claim, signals, reporter, &mut last_word).await;
    if let Ok(removed) = &mut outcome {
        last_word.keep(removed);
    }
    let released = claim.release();

    let mut removed = match (outcome, &released) {
        (Ok(removed), _) => removed,
        (Err(why), Ok(())) => return Err(why),
        (Err(why), Err(left)) => return Err(why.context(format!("its state is left behind: {left:#}"))),
    };
    if let Err(why) = released {
        removed.left_behind.push(LeftBehind {
            what: format!("state of experiment {}", spec.experiment_id),
            error: format!("{why:#}"),
            remove_with: format!("httpfault-agent remove --experiment-id {}", spec.experiment_id),
        });
        removed.exit = Exit::LeftBehind;
    }
    let exit = removed.exit;
    reporter.event(&Event::Removed(removed));
    Ok(exit)
}

/// Everything between the claim and its release.
async fn inject_hold_remove(
    run: &Run,
    preflight: Preflight,
    deadline: Deadline,
    claim: &Claim,
    mut signals: Signals,
    reporter: &Reporter,
    last_word: &mut LastWord,
) -> anyhow::Result<Removed> {
    let spec = &*run.spec;
    let mut orders = control::serve(&claim.socket())?;
    let warnings = preflight.warnings.clone();
    let injecting = inject::inject_all(preflight, run, deadline, &mut signals, &mut orders).await;
    let inject::Injecting { faults, injected, failed, ended, stoppers } = injecting;
    if faults.is_empty() {
        let reason = ended.unwrap_or(RemovedReason::InjectionFailed);
        return Ok(verdict::removed(spec, None, reason, failed, Vec::new(), warnings));
    }
    let (injected_at, deadline) = (injected.at, injected.deadline);
    let on = hold::On { run, injected_at, deadline };
    let held = match ended {
        Some(reason) => on.ended(reason, faults, stoppers),
        None => {
            reporter.event(&Event::Injected(Injected { warnings: warnings.clone(), ..injected }));
            let mut view = View::of(spec, reporter);
            let held = on.hold(faults, &mut signals, &mut orders, &mut view, last_word).await;
            view.finish();
            held
        }
    };
    hold::answer_to_the_end(orders, held.status, held.stoppers);
    let (reports, left_behind, cut) = end_all(held.faults, held.ended).await;
    let reports = reports.into_iter().chain(failed).collect();
    let warnings = warnings.into_iter().chain(cut).collect();
    let removed = verdict::removed(spec, Some(injected_at), held.reason, reports, left_behind, warnings);
    Ok(removed)
}

/// Ends every fault at once; what failed to be undone is the result, not a log line.
async fn end_all(
    faults: Vec<Fault>,
    mut ended: JoinSet<Ended>,
) -> (Vec<TargetReport>, Vec<LeftBehind>, Vec<String>) {
    for fault in faults {
        ended.spawn(fault.end());
    }
    let (mut reports, mut left_behind, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(one) = ended.join_next().await {
        match one {
            Ok(one) => {
                reports.push(one.report);
                warnings.extend(one.warnings);
            }
            Err(why) => left_behind.push(LeftBehind {
                what: "a fault whose removal was abandoned".into(),
                error: why.to_string(),
                remove_with: "httpfault-agent remove --all".into(),
            }),
        }
    }
    reports.sort_by(|a, b| a.target.cmp(&b.target));
    (reports, left_behind, warnings)
}

/// What is written down of the run.
fn written(spec: &RunSpec, preflight: &Preflight, deadline: Deadline) -> State {
    State {
        experiment_id: spec.experiment_id.clone(),
        agent_pid: std::process::id(),
        deadline: deadline.at,
        port: spec.port,
        status_code: spec.fault.status,
        namespaces: preflight.targets.iter().flatten().map(|target| target.netns.inode()).collect(),
        spec: Some(spec.clone()),
    }
}

/// The same experiment again, from a repeated SSM command for example: report the running one and change nothing. Another
/// one with its id is refused: who asked for it would take the running one for it.
async fn already_running(spec: &RunSpec, reporter: &Reporter) -> anyhow::Result<Exit> {
    let running = state::entry(&spec.experiment_id)?.and_then(|entry| entry.state?.spec);
    if running.is_some_and(|running| running != *spec) {
        let problem = Problem {
            subject: format!("experiment {}", spec.experiment_id),
            problem: "it is running already, with other settings".into(),
            next: format!(
                "use another id, wait for its end, or run `httpfault-agent remove --experiment-id {}`",
                spec.experiment_id
            ),
        };
        reporter.event(&Event::Refused(CheckReport {
            ready: false,
            experiment_id: spec.experiment_id.clone(),
            problems: vec![problem],
            warnings: Vec::new(),
            targets: Vec::new(),
        }));
        return Ok(Exit::Failed);
    }
    if let Some(running) = status::of(&spec.experiment_id).await? {
        reporter.event(&Event::AlreadyRunning(running));
    }
    Ok(Exit::Done)
}

fn refused(
    spec: &RunSpec,
    preflight: &Preflight,
    problem: Problem,
    reporter: &Reporter,
) -> anyhow::Result<Exit> {
    let mut report = preflight.report(spec);
    report.ready = false;
    report.problems.push(problem);
    reporter.event(&Event::Refused(report));
    Ok(Exit::Failed)
}
