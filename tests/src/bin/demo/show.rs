//! The demonstration's lines: plain text, with colours where the terminal has them.

use std::{
    io::{IsTerminal, Write, stdout},
    process::ExitCode,
    time::Instant,
};

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const CYAN: &str = "36";

#[derive(Debug)]
pub(crate) struct Show {
    start: Instant,
    checks: usize,
    failures: Vec<String>,
}

impl Default for Show {
    fn default() -> Self {
        Self { start: Instant::now(), checks: 0, failures: Vec::new() }
    }
}

impl Show {
    pub(crate) fn step(&self, title: &str) {
        line(&format!("\n{}", painted(BOLD, title)));
    }

    pub(crate) fn command(&self, command: &str, output: &str) {
        line(&format!("  {}", painted(CYAN, &format!("$ {command}"))));
        if !output.is_empty() {
            self.output(output);
        }
    }

    pub(crate) fn output(&self, text: &str) {
        text.lines().for_each(|text| line(&format!("    {}", painted(DIM, text))));
    }

    /// Shows what was seen, and remembers it if it is wrong.
    pub(crate) fn check(&mut self, what: &str, seen: &str, right: bool) {
        self.checks += 1;
        if right {
            line(&format!("  {} {what}: {seen}", painted(GREEN, "ok")));
        } else {
            self.failed(&format!("{what}: {seen}"));
        }
    }

    pub(crate) fn failed(&mut self, what: &str) {
        line(&format!("  {} {what}", painted(RED, "WRONG")));
        self.failures.push(what.to_owned());
    }

    /// The last line, and the exit code.
    pub(crate) fn verdict(&self) -> ExitCode {
        let seconds = self.start.elapsed().as_secs_f64();
        if self.failures.is_empty() {
            let all = format!("All {} expectations held, in {seconds:.0} s", self.checks);
            line(&format!("\n{}", painted(GREEN, &all)));
            return ExitCode::SUCCESS;
        }
        let wrong = format!(
            "{} of {} expectations failed",
            self.failures.len(),
            self.checks.max(self.failures.len())
        );
        line(&format!("\n{}", painted(RED, &wrong)));
        ExitCode::FAILURE
    }
}

fn line(text: &str) {
    // Nobody may be listening any more; that changes no verdict.
    let written = writeln!(stdout(), "{text}");
    drop(written);
}

fn painted(colour: &str, text: &str) -> String {
    let colours = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if colours { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}
