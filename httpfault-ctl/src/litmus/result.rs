//! The object that Litmus calls a ChaosResult. Its CRD keeps unknown fields and has no status subresource, so it is written as
//! a whole, and what others have put into it stays.

use httpfault_common::contract::Exit;
use serde_json::{Value, json};

use super::LitmusProbe;
use crate::{
    report::{ProbeReport, ProbeVerdict, RunReport, TaskReport},
    tunables::LitmusRun,
};

/// How an experiment stands, in Litmus' words.
#[derive(Debug)]
pub(crate) struct Outcome {
    phase: &'static str,
    verdict: &'static str,
    /// Code and reason.
    error: Option<(String, String)>,
    targets: Vec<Value>,
    probes: Vec<Value>,
    /// Percent of the probes that passed.
    passed: usize,
}

impl Outcome {
    pub(super) fn running() -> Self {
        Self::plain("Running", "Awaited", None)
    }

    /// Of a run that came to a report.
    pub(crate) fn of(report: &RunReport, probes: &[LitmusProbe]) -> Self {
        let (phase, verdict) = words(report.exit);
        let failed = report.probes.iter().any(|probe| probe.verdict == ProbeVerdict::Failed);
        // The fault did what it had to, the application did not.
        let phase =
            if report.exit == Exit::Partly && failed { "Completed_With_Probe_Failure" } else { phase };
        let error = (report.exit != Exit::Done).then(|| (code(report.exit), reason(report)));
        let good = report.probes.iter().filter(|probe| probe.verdict == ProbeVerdict::Passed).count();
        Self {
            targets: report.tasks.iter().map(target).collect(),
            probes: report.probes.iter().map(|probe| probe_status(probe, probes)).collect(),
            passed: (good * 100).checked_div(report.probes.len()).unwrap_or(0),
            ..Self::plain(phase, verdict, error)
        }
    }

    /// Of one that ended before it had one.
    pub(crate) fn failed(exit: Exit, error: &anyhow::Error) -> Self {
        let (phase, verdict) = words(exit);
        Self::plain(phase, verdict, Some((code(exit), format!("{error:#}"))))
    }

    fn plain(phase: &'static str, verdict: &'static str, error: Option<(String, String)>) -> Self {
        Self { phase, verdict, error, targets: Vec::new(), probes: Vec::new(), passed: 0 }
    }
}

/// Phase and verdict. A fault that met no request, or not all tasks, was carried out and did not do what it had to.
fn words(exit: Exit) -> (&'static str, &'static str) {
    match exit {
        Exit::Done => ("Completed", "Pass"),
        Exit::Partly => ("Completed", "Fail"),
        Exit::Aborted => ("Stopped", "Stopped"),
        Exit::Failed | Exit::LeftBehind | Exit::Usage => ("Error", "Error"),
    }
}

fn code(exit: Exit) -> String {
    format!("HTTPFAULT_{}", u8::from(exit))
}

fn reason(report: &RunReport) -> String {
    let left = report.left_behind.iter().map(|left| {
        format!("LEFT BEHIND: {} ({}); remove it with: {}", left.what, left.error, left.remove_with)
    });
    let of_task = |task: &TaskReport| {
        let error = task.error.iter().map(|error| format!("task {}: {error}", task.task));
        let causes = task.causes.iter().map(|cause| format!("task {}: {cause}", task.task));
        error.chain(causes).collect::<Vec<_>>()
    };
    let all = left
        .chain(report.error.clone())
        .chain([report.summary()])
        .chain(report.tasks.iter().flat_map(of_task));
    all.collect::<Vec<_>>().join("; ")
}

fn target(task: &TaskReport) -> Value {
    let status = match (task.injected_at, task.removed_at, task.verified_off) {
        (_, Some(_), _) | (_, _, true) => "reverted",
        (Some(_), None, false) => "injected",
        (None, None, false) => "targeted",
    };
    json!({ "name": task.task, "kind": "ecs-task", "chaosStatus": status })
}

/// A probe of settings has no mode in Litmus' words; it asked all the time.
fn probe_status(probe: &ProbeReport, known: &[LitmusProbe]) -> Value {
    let mode =
        known.iter().find(|one| one.probe.name == probe.name).map_or("Continuous", |one| one.mode.as_str());
    let verdict = match probe.verdict {
        ProbeVerdict::Passed => "Passed",
        ProbeVerdict::Failed => "Failed",
        ProbeVerdict::NotJudged => "N/A",
    };
    json!({
        "name": probe.name, "type": "httpProbe", "mode": mode,
        "status": { "verdict": verdict, "description": probe.reason.clone().unwrap_or_default() },
    })
}

/// For a cluster that has none under this name.
pub(super) fn new(run: &LitmusRun, labels: &Value, outcome: &Outcome) -> Value {
    let mut result = json!({
        "apiVersion": "litmuschaos.io/v1alpha1",
        "kind": "ChaosResult",
        "metadata": { "name": run.result_name(), "namespace": run.namespace },
        "spec": {},
        "status": {},
    });
    update(&mut result, run, labels, outcome);
    result
}

/// Puts an outcome in. Runs are counted at their end, beside those before.
pub(super) fn update(result: &mut Value, run: &LitmusRun, labels: &Value, outcome: &Outcome) {
    result["metadata"]["labels"] = labels.clone();
    let spec = &mut result["spec"];
    spec["engine"] = run.engine.clone().into();
    spec["experiment"] = run.experiment.clone().into();
    if let Some(instance) = &run.instance {
        spec["instance"] = instance.clone().into();
    }
    let status = &mut result["status"];
    let score = match outcome.verdict {
        "Awaited" => "Awaited".to_owned(),
        "Pass" => "100".to_owned(),
        _ => outcome.passed.to_string(),
    };
    status["experimentStatus"] = json!({
        "phase": outcome.phase, "verdict": outcome.verdict, "probeSuccessPercentage": score,
    });
    if let Some((code, reason)) = &outcome.error {
        status["experimentStatus"]["errorOutput"] = json!({ "errorCode": code, "reason": reason });
    }
    let ended = match outcome.verdict {
        "Pass" => Some("passedRuns"),
        "Fail" => Some("failedRuns"),
        "Stopped" => Some("stoppedRuns"),
        _ => None,
    };
    status["probeStatuses"] = outcome.probes.clone().into();
    let history = &mut status["history"];
    for name in ["passedRuns", "failedRuns", "stoppedRuns"] {
        let before = history[name].as_u64().unwrap_or(0);
        history[name] = (before + u64::from(ended == Some(name))).into();
    }
    history["targets"] = outcome.targets.clone().into();
}
