//! What was found, kernel by kernel, and what of it is a failure.

use std::{fmt::Write as _, time::Duration};

use super::{
    finding::{Feature, Finding, Outcome},
    rows::Row,
};
use crate::say;

/// What one kernel told.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) row: &'static Row,
    /// As `uname -r` says it.
    pub(super) release: String,
    pub(super) findings: Vec<Finding>,
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
    pub(super) fn cell(&self, feature: Feature) -> &'static str {
        let told = self.findings.iter().find(|finding| finding.feature == feature);
        told.map_or("FAILED", |finding| word(finding.outcome))
    }

    /// The same for readers of the document, who want to know how many instructions there were.
    pub(super) fn text(&self, feature: Feature) -> &str {
        let counted =
            |finding: &&Finding| finding.feature == Feature::Verifier && feature == Feature::Verifier;
        match self.findings.iter().find(counted) {
            Some(Finding { outcome: Outcome::Works, detail, .. }) => detail,
            _ => self.cell(feature),
        }
    }

    /// Why, for each feature that is not as it has to be; one line for a kernel that told nothing.
    fn failures(&self) -> Vec<String> {
        let name = self.row.name;
        if let Some(error) = &self.error {
            return vec![format!("{name}: {error}")];
        }
        let reason = |feature: Feature| {
            let told = self.findings.iter().find(|finding| finding.feature == feature);
            match told {
                None => Some("nothing was told of it"),
                Some(finding) if allowed(self.row, feature, finding.outcome) => None,
                Some(finding) => Some(finding.detail.as_str()),
            }
        };
        let failure = |feature| Some(format!("{name}, {feature}: {}", reason(feature)?));
        Feature::ALL.into_iter().filter_map(failure).collect()
    }
}

/// All kernels.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
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
}

pub(super) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Works => "yes",
        Outcome::Refused => "refused",
        Outcome::Warned => "warned",
        Outcome::Failed => "FAILED",
    }
}

/// Whether this is how it has to be: a host that lacks something may say so of what needs it, and of nothing else.
fn allowed(row: &Row, feature: Feature, outcome: Outcome) -> bool {
    match outcome {
        Outcome::Works => true,
        Outcome::Warned => row.lacks.contains(&feature),
        Outcome::Refused | Outcome::Failed => false,
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
    fn a_kernel_that_did_not_boot_is_a_failure_and_so_is_each_of_its_features() {
        let table = Table::new(vec![column(0, Outcome::Works), Column::failed(&ROWS[1], "no package")]);
        assert_eq!(table.failures(), ["6.1: no package"]);
        assert_eq!(table.text().matches("FAILED").count(), Feature::ALL.len());
    }

    #[test]
    fn a_feature_that_was_not_told_fails() {
        let mut column = column(0, Outcome::Works);
        column.findings.pop();
        assert_eq!(Table::new(vec![column]).failures().len(), 1);
    }

    #[test]
    fn only_a_host_that_lacks_something_may_refuse_and_only_what_needs_it() {
        assert_eq!(Table::new(vec![column(0, Outcome::Refused)]).failures().len(), Feature::ALL.len());
        let legacy = ROWS.iter().position(|row| row.name == "5.10-cgroup-v1").unwrap();
        let failures = Table::new(vec![column(legacy, Outcome::Warned)]).failures();
        assert_eq!(failures.len(), Feature::ALL.len() - 3);
    }
}
