//! The numbers of a run for those who watch: a file for node_exporter's textfile collector, lines that CloudWatch makes
//! metrics of. Names and numbers are those of the agent's `status --output openmetrics`. What can't be written is a warning.

mod emf;

use std::{ffi::OsString, fs, path::Path};

use anyhow::Context;
use httpfault_common::contract::metrics::{Measured, openmetrics};

use crate::{
    console::Console,
    report::{self, RunReport, TaskReport},
    tunables::Metrics,
};

/// What is known up to now, for who looks while the fault is on.
pub(crate) fn show(metrics: &Metrics, report: &RunReport, console: &Console) {
    if let Some(path) = &metrics.file
        && let Err(error) = write(path, &openmetrics(&[measured(report)]))
    {
        console.warn(&format!("the metrics could not be written: {error:#}"));
    }
}

/// The last numbers.
pub(crate) fn hand_over(metrics: &Metrics, report: &RunReport, console: &Console) {
    show(metrics, report, console);
    if metrics.emf {
        emf::lines(report).iter().for_each(|line| report::write_out(line));
    }
}

/// Whole or not at all: the collector may be reading. It takes names that end in `.prom`, so the new one has another.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut name = OsString::from(".");
    name.push(path.file_name().with_context(|| format!("{} names no file", path.display()))?);
    name.push(".new");
    let new = path.with_file_name(name);
    fs::write(&new, text).with_context(|| format!("writing {}", new.display()))?;
    fs::rename(&new, path).with_context(|| format!("renaming it to {}", path.display()))
}

fn measured(report: &RunReport) -> Measured {
    let tasks = || report.tasks.iter().filter(|task| task.injected_at.is_some());
    let active = tasks().any(is_on);
    Measured {
        run: report.experiment.experiment_id.to_string(),
        port: Some(report.experiment.port),
        status_code: Some(report.experiment.status_code),
        active,
        armed: tasks().filter_map(|task| task.injected_at).min(),
        disarmed: tasks().filter_map(|task| task.removed_at).max().filter(|_| !active),
        targets: tasks().map(|task| (task.task.clone(), task.counters.clone())).collect(),
    }
}

fn is_on(task: &TaskReport) -> bool {
    task.removed_at.is_none() && !task.verified_off
}
