//! The report for CI: a test case for each task, one for what is left, one for the run itself.

use std::time::Duration;

use httpfault_common::contract::Exit;
use jiff::Timestamp;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::super::{ProbeReport, ProbeVerdict, RunReport, TaskReport};

pub(super) fn of(report: &RunReport) -> anyhow::Result<String> {
    let experiment = &report.experiment;
    let mut suite = TestSuite::new(format!("httpfault {}", experiment.whose()));
    for (name, value) in [
        ("experiment_id", experiment.experiment_id.to_string()),
        ("seed", experiment.seed.to_string()),
        ("repeat_with", report.repeat_with.clone()),
    ] {
        suite.add_property((name, value.as_str()));
    }
    suite.add_test_case(the_run(report));
    for probe in &report.probes {
        suite.add_test_case(one_probe(probe));
    }
    for task in &report.tasks {
        suite.add_test_case(one_task(report, task));
    }
    suite.add_test_case(nothing_left(report));
    let mut whole = Report::new("httpfault");
    whole.add_test_suite(suite);
    Ok(whole.to_string()?)
}

fn the_run(report: &RunReport) -> TestCase {
    // What is wrong with a probe or a task, or left on a host, has a case of its own.
    let mut case = TestCase::new("the run", status(report.early_end(), NonSuccessKind::Error));
    case.set_time(length(Some(report.started_at), Some(report.ended_at)));
    case
}

fn one_probe(probe: &ProbeReport) -> TestCase {
    let passed = probe.verdict == ProbeVerdict::Passed;
    let problem = (!passed).then(|| probe.reason.clone().unwrap_or_else(|| probe.verdict.words().to_owned()));
    TestCase::new(probe.title(), status(problem, NonSuccessKind::Failure))
}

fn one_task(report: &RunReport, task: &TaskReport) -> TestCase {
    let experiment = &report.experiment;
    let name = format!("task {} answers {} on port {}", task.task, experiment.status_code, experiment.port);
    let remarks = task.error.iter().map(ToString::to_string).chain(task.causes.iter().cloned());
    let problem = (!task.is_good()).then(|| {
        let words = std::iter::once(task.summary()).chain(remarks).collect::<Vec<_>>();
        words.join("\n")
    });
    let mut case = TestCase::new(name, status(problem, NonSuccessKind::Failure));
    case.set_time(length(task.injected_at, task.removed_at));
    case
}

fn nothing_left(report: &RunReport) -> TestCase {
    let left: Vec<String> = { report.left_behind.iter() }
        .map(|left| format!("{}: {}; remove it with: {}", left.what, left.error, left.remove_with))
        .collect();
    let problem = (report.exit == Exit::LeftBehind).then(|| left.join("\n"));
    TestCase::new("nothing is left behind", status(problem, NonSuccessKind::Failure))
}

fn status(problem: Option<String>, kind: NonSuccessKind) -> TestCaseStatus {
    let Some(problem) = problem else { return TestCaseStatus::success() };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(problem.lines().next().unwrap_or_default()).set_description(problem);
    status
}

fn length(from: Option<Timestamp>, to: Option<Timestamp>) -> Duration {
    let both = from.zip(to);
    both.and_then(|(from, to)| to.duration_since(from).try_into().ok()).unwrap_or_default()
}
