//! The tables in the documents: kernels in README.md, kernel by feature in docs/kernels.md.

use std::fmt::Write as _;

use anyhow::Result;

use super::{
    finding::{Feature, Outcome},
    table::{Column, Table, word},
};
use crate::document::replace;

/// Around a table that is written here.
const BEGIN: &str = "<!-- written by cargo xtask vm --write -->";

/// Replaces the tables in both documents.
pub(super) fn write(table: &Table) -> Result<()> {
    replace("README.md", BEGIN, &kernels(table))?;
    replace("docs/kernels.md", BEGIN, &features(table))
}

/// A line for each kernel: how much of it works, and what does not.
fn kernels(table: &Table) -> String {
    let mut text = String::from("| kernel | stands for | features seen to work |\n| --- | --- | --- |\n");
    for column in &table.columns {
        let _infallible =
            writeln!(text, "| {} | {} | {} |", column.release, column.row.reason, in_short(column));
    }
    text
}

fn in_short(column: &Column) -> String {
    let works = column.findings.iter().filter(|finding| finding.outcome == Outcome::Works).count();
    let mut text = format!("{works} of {}", Feature::ALL.len());
    for outcome in [Outcome::Warned, Outcome::Refused, Outcome::Failed] {
        let of = |feature: &Feature| column.cell(*feature) == word(outcome);
        let features: Vec<String> =
            Feature::ALL.into_iter().filter(of).map(|feature| feature.to_string()).collect();
        if !features.is_empty() {
            let _infallible = write!(text, "; {}: {}", word(outcome), features.join(", "));
        }
    }
    text
}

/// A line for each feature, a column for each kernel.
fn features(table: &Table) -> String {
    let mut text = String::from("| feature |");
    for column in &table.columns {
        let _infallible = write!(text, " {} |", column.row.name);
    }
    text += "\n| --- |";
    text += &" --- |".repeat(table.columns.len());
    text += "\n| kernel |";
    for column in &table.columns {
        let _infallible = write!(text, " {} |", column.release);
    }
    for feature in Feature::ALL {
        let _infallible = write!(text, "\n| {} |", meaning(feature));
        for column in &table.columns {
            let _infallible = write!(text, " {} |", column.text(feature));
        }
    }
    text + "\n"
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
        Feature::Drain => "`drain`: a pooled connection ends in order after its next answer",
        Feature::Reset => "`reset`: a pooled connection is reset at its next request",
        Feature::Take => {
            "`take`: a request on a pooled connection is answered in place, and it is given back"
        }
        Feature::Forward => "`--modify-response-body false`: the application's body with another status",
        Feature::Status => "`status` shows the fault and its counters",
        Feature::Deadline => "a run ends by itself at its deadline, with 0",
        Feature::Signal => "SIGTERM ends it, with 130, and the application answers",
        Feature::Remove => "`remove --all` ends it; nothing is left",
        Feature::Kill => {
            "SIGKILL: the next connection reaches the application; the keeper removes what is left"
        }
        Feature::Stop => "SIGSTOP: the application answers within 3 s",
        Feature::Verifier => "instructions that the verifier looked at, the most of one program",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::{finding::Finding, rows::ROWS};

    fn table(reset: Outcome) -> Table {
        let finding = |feature| Finding {
            feature,
            outcome: if feature == Feature::Reset { reset } else { Outcome::Works },
            detail: "seen".to_owned(),
        };
        let findings = Feature::ALL.into_iter().map(finding).collect();
        Table::new(vec![Column::new(&ROWS[0], "6.1.0".to_owned(), findings)])
    }

    #[test]
    fn one_document_has_a_line_for_each_feature_the_other_for_each_kernel() {
        let features = features(&table(Outcome::Works));
        assert_eq!(features.lines().count(), 3 + Feature::ALL.len());
        assert!(features.contains("| kernel | 6.1.0 |"), "{features}");
        let kernels = kernels(&table(Outcome::Refused));
        assert_eq!(kernels.lines().count(), 3);
        assert!(kernels.contains("| 17 of 18; refused: reset |"), "{kernels}");
    }
}
