//! The numbers of a run for those who watch: a file for node_exporter's textfile collector, lines that CloudWatch makes
//! metrics of. Names and numbers are those of the agent's `status --output openmetrics`. What can't be written is a warning.

mod emf;

use std::{collections::BTreeMap, ffi::OsString, fs, path::Path};

use anyhow::Context;
use httpfault_common::contract::{
    Counters,
    metrics::{Measured, prometheus},
};
use jiff::Timestamp;

use crate::{
    console::Console,
    report::{self, RunReport, TaskReport},
    tunables::Metrics,
};

/// Where the numbers of one run go, and what was told already.
#[derive(Debug)]
pub(crate) struct Meter {
    to: Metrics,
    /// The newest of the counters that were shown.
    shown: Option<Timestamp>,
    /// What CloudWatch was told of each task: it adds up.
    told: BTreeMap<String, Counters>,
}

impl Meter {
    pub(crate) fn new(to: &Metrics) -> Self {
        Self { to: to.clone(), shown: None, told: BTreeMap::new() }
    }

    /// Whether anybody wants numbers before the end.
    pub(crate) fn is_watched(&self) -> bool {
        self.to.emf || self.to.file.is_some()
    }

    /// For who looks while the fault is on, whenever hosts have told something new.
    pub(crate) fn show(&mut self, report: &RunReport, console: &Console) {
        let newest = report.tasks.iter().filter_map(|task| task.counters_at).max();
        if newest > self.shown {
            self.shown = newest;
            self.write(report, console);
            self.lines(report, emf::Moment::During);
        }
    }

    /// The last numbers.
    pub(crate) fn hand_over(mut self, report: &RunReport, console: &Console) {
        self.write(report, console);
        self.lines(report, emf::Moment::End);
    }

    fn write(&self, report: &RunReport, console: &Console) {
        if let Some(path) = &self.to.file
            && let Err(error) = write(path, &prometheus(&[measured(report)]))
        {
            console.warn(&format!("the metrics could not be written: {error:#}"));
        }
    }

    fn lines(&mut self, report: &RunReport, moment: emf::Moment) {
        if !self.to.emf {
            return;
        }
        for task in report.tasks.iter().filter(|task| task.injected_at.is_some()) {
            let told = self.told.entry(task.task.clone()).or_default();
            if let Some(line) = emf::line(report, task, told, moment) {
                report::write_out(&line);
                *told = task.counters.clone();
            }
        }
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
