//! What the rounds came to.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::round::Seen;

#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: BTreeMap<String, Row>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    rounds: usize,
    requests: usize,
    faulted: usize,
    by_mode: usize,
    lost: usize,
    files: usize,
    longest: Duration,
}

impl Table {
    pub(crate) fn add(&mut self, seen: &Seen) {
        self.rows.entry(seen.what.clone()).or_default().add(seen);
    }
}

impl Row {
    fn add(&mut self, seen: &Seen) {
        self.rounds += 1;
        self.requests += seen.requests;
        self.faulted += seen.faulted;
        self.by_mode += seen.by_mode;
        self.lost += seen.lost;
        self.files += usize::from(seen.files);
        self.longest = self.longest.max(seen.real_after);
    }

    fn and(self, other: &Self) -> Self {
        Self {
            rounds: self.rounds + other.rounds,
            requests: self.requests + other.requests,
            faulted: self.faulted + other.faulted,
            by_mode: self.by_mode + other.by_mode,
            lost: self.lost + other.lost,
            files: self.files + other.files,
            longest: self.longest.max(other.longest),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| harm | rounds | requests | faulted | ended by the mode | lost by it | files left | longest until real |"
        )?;
        writeln!(f, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
        self.rows.iter().try_for_each(|(what, row)| line(f, what, row))?;
        line(f, "all", &self.rows.values().fold(Row::default(), Row::and))
    }
}

fn line(f: &mut fmt::Formatter<'_>, what: &str, row: &Row) -> fmt::Result {
    let Row { rounds, requests, faulted, by_mode, lost, files, longest } = row;
    let longest = longest.as_millis();
    writeln!(
        f,
        "| {what} | {rounds} | {requests} | {faulted} | {by_mode} | {lost} | {files} | {longest} ms |"
    )
}
