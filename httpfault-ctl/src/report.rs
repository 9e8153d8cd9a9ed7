//! What commands print on standard output: a table for people, JSON for programs. The serde types here are the
//! documented schema of `--output json`.
mod experiment;
mod fault;
mod plan;
mod probe;
mod run;
mod timeline;
pub(crate) mod files;

use std::io::Write;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

pub(crate) use fault::{HostRemoval, HostStatus, RemovalOverview, StatusOverview};
pub(crate) use files::{Markdown, Markup};
pub(crate) use plan::PlanReport;
pub(crate) use probe::{Phase, ProbeReport, ProbeVerdict, Sample, Tally};
pub(crate) use run::{Replacement, RunReport, TaskOutcome, TaskReport};
pub(crate) use timeline::HostHistory;

use experiment::Experiment;

use crate::tunables::Output;

/// Something that can be shown both ways.
pub(crate) trait Report: Serialize {
    fn text(&self) -> String;
}

/// Prints a report. A closed pipe is no reason to fail: the exit code says how the run ended.
pub(crate) fn emit(report: &impl Report, output: Output) {
    match output {
        Output::Text => write_out(&report.text()),
        Output::Json => write_out(&serde_json::to_string(report).unwrap_or_else(|error| error.to_string())),
    }
}

/// Prints text as it is.
pub(crate) fn write_out(text: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody may be reading any more, and the exit code is what counts then.
    let _closed_pipe = writeln!(out, "{}", text.trim_end());
}

/// An error in place of a report, for programs that read JSON.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorReport {
    pub(crate) exit: httpfault_common::contract::Exit,
    pub(crate) error: String,
}

impl Report for ErrorReport {
    fn text(&self) -> String {
        self.error.clone()
    }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    table
}
