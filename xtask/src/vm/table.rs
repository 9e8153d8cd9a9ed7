//! What was found, kernel by kernel: for the terminal, and for docs/kernels.md.

use std::{fmt::Write as _, fs, time::Duration};

use anyhow::{Context, Result};

use super::{
    finding::{Feature, Finding, Host, Outcome},
    rows::Row,
};
use crate::{process, say};

const DOCUMENT: &str = "docs/kernels.md";
const BEGIN: &str = "<!-- written by cargo xtask vm --write -->";
const END: &str = "<!-- end -->";

/// What one kernel told.
#[derive(Debug)]
pub(super) struct Column {
    row: &'static Row,
    /// As `uname -r` says it.
    release: String,
    findings: Vec<Finding>,
    /// Why nothing was told.
    error: Option<String>,
}

impl Column {
    pub(super) fn new(row: &'static Row, release: String, findings: Vec<Finding>) -> Self {
        Self { row, release, findings, error: None }
    }

    /// A kernel that could not be fetched or did not boot: everything failed.
    pub(super) fn failed(row: &'static Row, why: &str) -> Self {
        Self { row, release: "none".to_owned(), findings: Vec::new(), error: Some(why.to_owned()) }
    }

    /// A line for each feature.
    pub(super) fn summary(&self, took: Duration) -> String {
        let mut text = String::new();
        for Finding { feature, outcome, detail } in &self.findings {
            let _infallible = writeln!(text, "{feature:12} {:8} {detail}", word(*outcome));
        }
        if let Some(failure) = &self.error {
            let _infallible = writeln!(text, "{failure}");
        }
        text + &format!("{}, {}", self.release, say::time(took))
    }

    /// What is in the cell; a feature that nothing was told of failed.
    fn cell(&self, feature: Feature) -> &'static str {
        let told = self.findings.iter().find(|finding| finding.feature == feature);
        told.map_or("FAILED", |finding| word(finding.outcome))
    }

    /// Why, for each feature that is not as it has to be.
    fn failures(&self) -> impl Iterator<Item = String> {
        let reason = |feature: Feature| {
            let told = self.findings.iter().find(|finding| finding.feature == feature);
            match told {
                None => Some(self.error.as_deref().unwrap_or("nothing was told of it")),
                Some(finding) if allowed(self.row.host, finding.outcome) => None,
                Some(finding) => Some(finding.detail.as_str()),
            }
        };
        Feature::ALL
            .into_iter()
            .filter_map(move |feature| Some(format!("{}, {feature}: {}", self.row.name, reason(feature)?)))
    }
}

/// All kernels.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
}

impl Table {
    pub(super) fn new(columns: Vec<Column>) -> Self {
        Self { columns }
    }

    /// For the terminal.
    pub(super) fn text(&self) -> String {
        let width = |column: &Column| column.row.name.len().max(8);
        let mut text = format!("{:12}", "");
        for column in &self.columns {
            let _infallible = write!(text, "  {:1$}", column.row.name, width(column));
        }
        for feature in Feature::ALL {
            let _infallible = write!(text, "\n{feature:12}");
            for column in &self.columns {
                let _infallible = write!(text, "  {:1$}", column.cell(feature), width(column));
            }
        }
        text
    }

    /// One line for each failure.
    pub(super) fn failures(&self) -> Vec<String> {
        self.columns.iter().flat_map(Column::failures).collect()
    }

    /// Replaces the table in the document.
    pub(super) fn write(&self) -> Result<()> {
        let path = process::root().join(DOCUMENT);
        let text = fs::read_to_string(&path)?;
        let (before, rest) = text.split_once(BEGIN).with_context(|| format!("there is no line {BEGIN}"))?;
        let (_old, after) = rest.split_once(END).with_context(|| format!("there is no line {END}"))?;
        Ok(fs::write(&path, format!("{before}{BEGIN}\n\n{}\n{END}{after}", self.markdown()))?)
    }

    fn markdown(&self) -> String {
        let mut text = String::from("| feature |");
        for column in &self.columns {
            let _infallible = write!(text, " {} |", column.row.name);
        }
        text += "\n| --- |";
        text += &" --- |".repeat(self.columns.len());
        text += "\n| kernel |";
        for column in &self.columns {
            let _infallible = write!(text, " {} |", column.release);
        }
        for feature in Feature::ALL {
            let _infallible = write!(text, "\n| {} |", meaning(feature));
            for column in &self.columns {
                let _infallible = write!(text, " {} |", column.cell(feature));
            }
        }
        text + "\n"
    }
}

/// What a feature means, for readers of the document.
fn meaning(feature: Feature) -> &'static str {
    match feature {
        Feature::Check => "`check` finds the target ready",
        Feature::Inbound4 => "new connections from outside get the fault, IPv4",
        Feature::Inbound6 => "the same, IPv6",
        Feature::InTask4 => {
            "clients in the target's cgroup get it, IPv4; `getpeername` shows where they went"
        }
        Feature::InTask6 => "the same, IPv6 and IPv4-mapped",
        Feature::OtherCgroup => "a process of another cgroup in the same namespace reaches the application",
        Feature::Keep => "`keep`: a pooled connection stays with the application",
        Feature::Drain => "`drain`: a pooled connection ends in order",
        Feature::Reset => {
            "`reset`: a pooled connection is reset at its next request; filter and qdisc go at the end"
        }
        Feature::Forward => "`--modify-response-body false`: the application's body with another status",
        Feature::Status => "`status` shows the fault and its counters",
        Feature::Deadline => "a run ends by itself at its deadline, with 0",
        Feature::Signal => "SIGTERM ends it, with 130, and the application answers",
        Feature::Remove => "`remove --all` ends it; nothing is left",
        Feature::Kill => {
            "SIGKILL: the next connection reaches the application; the watcher removes what is left"
        }
        Feature::Stop => "SIGSTOP: the application answers within 3 s",
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Works => "yes",
        Outcome::Refused => "refused",
        Outcome::Warned => "warned",
        Outcome::Failed => "FAILED",
    }
}

/// Whether a host that lacks this may say so.
fn allowed(host: Host, outcome: Outcome) -> bool {
    match outcome {
        Outcome::Works => true,
        Outcome::Refused => host != Host::Full,
        Outcome::Warned => host == Host::LegacyCgroups,
        Outcome::Failed => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::rows::ROWS;

    fn column(row: usize, outcome: Outcome) -> Column {
        let finding = |feature| Finding { feature, outcome, detail: "seen".to_owned() };
        Column::new(&ROWS[row], "6.1.0".to_owned(), Feature::ALL.into_iter().map(finding).collect())
    }

    #[test]
    fn a_kernel_that_did_not_boot_fails_every_feature() {
        let table = Table::new(vec![column(0, Outcome::Works), Column::failed(&ROWS[1], "no package")]);
        let failures = table.failures();
        assert_eq!(failures.len(), Feature::ALL.len());
        assert!(failures[0].contains("6.1") && failures[0].contains("no package"), "{failures:?}");
    }

    #[test]
    fn a_feature_that_was_not_told_fails() {
        let mut column = column(0, Outcome::Works);
        column.findings.pop();
        assert_eq!(Table::new(vec![column]).failures().len(), 1);
    }

    #[test]
    fn only_a_host_that_lacks_something_may_refuse() {
        assert_eq!(Table::new(vec![column(0, Outcome::Refused)]).failures().len(), Feature::ALL.len());
        assert_eq!(Table::new(vec![column(5, Outcome::Refused)]).failures(), Vec::<String>::new());
    }

    #[test]
    fn the_document_has_a_line_for_each_feature() {
        let markdown = Table::new(vec![column(0, Outcome::Works)]).markdown();
        assert_eq!(markdown.lines().count(), 3 + Feature::ALL.len());
        assert!(markdown.contains("| kernel | 6.1.0 |"), "{markdown}");
    }
}
