//! Sums up what the test programs report.

use std::{fmt, sync::LazyLock};

use anyhow::{Result, ensure};
use regex_lite::Regex;

/// Counts over all test programs.
#[derive(Debug, Default)]
pub(super) struct Tally {
    passed: u64,
    ignored: u64,
    failed: Vec<String>,
    programs: u64,
    /// Runs that failed as a whole: a test failed, did not compile, or its program crashed.
    broken: u64,
}

#[expect(clippy::unwrap_used, reason = "constant expressions, compiled by the test below")]
static RESULT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^test result: \w+\. (\d+) passed; \d+ failed; (\d+) ignored;").unwrap());
#[expect(clippy::unwrap_used, reason = "constant expressions, compiled by the test below")]
static FAILED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^test (.+) \.\.\. FAILED$").unwrap());

impl Tally {
    /// Takes one line of the output of `cargo test`.
    pub(super) fn line(&mut self, line: &str) {
        if let Some(result) = RESULT.captures(line) {
            // The expression only lets digits through.
            let number = |group: usize| result[group].parse::<u64>().unwrap_or(0);
            self.programs += 1;
            self.passed += number(1);
            self.ignored += number(2);
        } else if let Some(failed) = FAILED.captures(line) {
            self.failed.push(failed[1].to_owned());
        }
    }

    /// Both together.
    pub(super) fn and(mut self, mut other: Self) -> Self {
        self.passed += other.passed;
        self.ignored += other.ignored;
        self.failed.append(&mut other.failed);
        self.programs += other.programs;
        self.broken += other.broken;
        self
    }

    /// Takes the outcome of one `cargo test`.
    pub(super) fn ended(&mut self, passed: bool) {
        self.broken += u64::from(!passed);
    }

    /// Whether everything that should run did run and passed.
    pub(super) fn verdict(&self) -> Result<()> {
        ensure!(self.failed.is_empty(), "failed: {}", self.failed.join(", "));
        ensure!(self.broken == 0, "cargo test failed without naming a test; its message is above");
        ensure!(self.ignored == 0, "{} tests were ignored; a test runs or is deleted", self.ignored);
        ensure!(self.passed > 0, "no test ran: nothing matches the filter");
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, ignored, failed, programs, .. } = self;
        write!(f, "tests: {passed} passed, {} failed, {ignored} ignored, {programs} programs", failed.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str], ended: bool) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.line(line));
        tally.ended(ended);
        tally
    }

    const OK: &str =
        "test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";

    #[test]
    fn adds_up_over_programs() {
        let tally = tally(&["running 7 tests", OK, OK], true);
        assert_eq!(tally.to_string(), "tests: 14 passed, 0 failed, 0 ignored, 2 programs");
        tally.verdict().unwrap();
    }

    #[test]
    fn names_the_failed_tests() {
        let failed = "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out";
        let tally = tally(&["test a::b ... FAILED", "test a::c ... ok", failed], false);
        assert_eq!(tally.to_string(), "tests: 1 passed, 1 failed, 0 ignored, 1 programs");
        assert_eq!(tally.verdict().unwrap_err().to_string(), "failed: a::b");
    }

    #[test]
    fn a_crash_an_ignored_test_and_no_test_at_all_are_failures() {
        assert!(tally(&[OK], false).verdict().is_err());
        assert!(tally(&[OK, "test result: ok. 0 passed; 0 failed; 1 ignored;"], true).verdict().is_err());
        assert!(tally(&["test result: ok. 0 passed; 0 failed; 0 ignored;"], true).verdict().is_err());
    }
}
