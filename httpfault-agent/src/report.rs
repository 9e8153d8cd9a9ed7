//! Everything that is printed on stdout: JSON lines, or the same facts for people.

mod text;

use std::io::{self, IsTerminal as _, Write as _};

use httpfault_common::contract::{
    CheckReport, Event, RemoveReport, StatusReport,
    metrics::{self, Measured},
};
use serde::Serialize;

use crate::args::{OutputFormat, StatusFormat};

/// Prints reports in the chosen form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reporter {
    format: OutputFormat,
}

impl Reporter {
    /// Text on a terminal, JSON elsewhere, unless it was said otherwise.
    pub(crate) fn new(chosen: Option<OutputFormat>) -> Self {
        let usual = if io::stdout().is_terminal() { OutputFormat::Text } else { OutputFormat::Json };
        Self { format: chosen.unwrap_or(usual) }
    }

    /// Whether a live view makes sense.
    pub(crate) fn is_live(self) -> bool {
        self.format == OutputFormat::Text && io::stderr().is_terminal()
    }

    pub(crate) fn event(self, event: &Event) {
        self.print(event, || text::event(event));
    }

    pub(crate) fn check(self, report: &CheckReport) {
        self.print(report, || text::check(report));
    }

    pub(crate) fn status(chosen: Option<StatusFormat>, report: &StatusReport) {
        let format = match chosen {
            Some(StatusFormat::Openmetrics) => {
                return say(metrics::openmetrics(&Measured::of_host(report)).trim_end());
            }
            Some(StatusFormat::Json) => Some(OutputFormat::Json),
            Some(StatusFormat::Text) => Some(OutputFormat::Text),
            None => None,
        };
        Self::new(format).print(report, || text::status(report));
    }

    pub(crate) fn remove(self, report: &RemoveReport) {
        self.print(report, || text::remove(report));
    }

    fn print<T: Serialize>(self, report: &T, text: impl FnOnce() -> String) {
        let line = match self.format {
            OutputFormat::Text => text(),
            OutputFormat::Json => serde_json::to_string(report)
                .unwrap_or_else(|why| serde_json::json!({ "error": why.to_string() }).to_string()),
        };
        say(&line);
    }
}

fn say(line: &str) {
    let mut stdout = io::stdout().lock();
    // SSM's worker may have died and the pipe with it; the fault must be removed all the same.
    let _nobody_reads = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
