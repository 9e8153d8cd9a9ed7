//! The end of every run: its report is printed, and kept where that was asked for. What can't be kept is a warning; the
//! exit code is the run's.

use std::{fs, path::Path};

use anyhow::Context;
use jiff::Timestamp;

use crate::{
    aws::Cloud,
    console::Console,
    metrics::Meter,
    report::{
        self, Report, RunReport,
        files::{self, ReportFile},
    },
    trace,
    tunables::{Local, Output, RunSettings},
};

/// Judges the run and hands its report over.
pub(super) async fn hand_over(
    report: RunReport,
    meter: Meter,
    settings: &RunSettings,
    cloud: &Cloud,
    console: &Console,
) -> RunReport {
    let report = judged(report);
    let kept = keep_here(&report, settings, console);
    meter.hand_over(&report, console);
    print(&report, settings.access.output, !kept);
    if let Some(trace) = &settings.trace
        && let Err(error) = trace::send(trace, &report).await
    {
        console.warn(&format!("the spans are lost: {error:#}"));
    }
    if let Some(to) = &settings.report_to.s3 {
        let put = match files::all(&report) {
            Ok(files) => cloud.put_all(to, report.experiment.experiment_id.as_str(), &files).await,
            Err(error) => Err(error),
        };
        match put {
            Ok(place) => console.say(&format!("report: {place}")),
            Err(error) => {
                console.warn(&format!("the report could not be put into S3: {error:#}"));
                if settings.report_to.local.is_none() {
                    aside(&text(&report, true), settings.access.output);
                }
            }
        }
    }
    report
}

/// Only what is done on this machine: nobody waits for a network at the third signal. An error is printed in place of the
/// document; the text stands in for files that can't be written, as always.
pub(super) fn keep(report: RunReport, meter: Meter, settings: &RunSettings, console: &Console) {
    let report = judged(report);
    meter.hand_over(&report, console);
    if !keep_here(&report, settings, console) {
        aside(&text(&report, true), settings.access.output);
    }
}

fn judged(mut report: RunReport) -> RunReport {
    report.ended_at = Timestamp::now();
    report.judge();
    report
}

/// Writes the files. False where the printed report is to stand in for them.
fn keep_here(report: &RunReport, settings: &RunSettings, console: &Console) -> bool {
    let directory = match &settings.report_to.local {
        None => return true,
        Some(Local::Printed) => return false,
        Some(Local::Directory(directory)) => directory,
    };
    match files::all(report).and_then(|files| write_all(directory, &files)) {
        Ok(()) => {
            console.say(&format!("report: {}", directory.join("report.html").display()));
            true
        }
        Err(error) => {
            console.warn(&format!("the report could not be written, so it is printed: {error:#}"));
            false
        }
    }
}

/// Each file whole or not at all: others may be looking for it.
fn write_all(directory: &Path, files: &[ReportFile]) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
    for file in files {
        let (path, new) = (directory.join(file.name), directory.join(format!(".{}.new", file.name)));
        fs::write(&new, &file.text).with_context(|| format!("writing {}", new.display()))?;
        fs::rename(&new, &path).with_context(|| format!("renaming {} to {}", new.display(), file.name))?;
    }
    Ok(())
}

/// Standard output is the JSON document alone where that was asked for; what people read goes to standard error then.
fn print(report: &RunReport, output: Output, as_markdown: bool) {
    if output == Output::Json {
        report::emit(report, output);
    }
    aside(&text(report, as_markdown), output);
}

fn aside(text: &str, output: Output) {
    match output {
        Output::Text => report::write_out(text),
        Output::Json => Console::new().say(text.trim_end()),
    }
}

fn text(report: &RunReport, as_markdown: bool) -> String {
    let markdown = as_markdown.then(|| files::markdown(report).ok()).flatten();
    markdown.unwrap_or_else(|| report.text())
}
