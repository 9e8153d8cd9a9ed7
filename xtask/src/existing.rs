//! `cargo xtask existing`: what becomes of connections that exist when a fault starts, with real servers and clients and
//! the agent as it is handed out, by the program `existing` of the tests' package.

use std::{fmt::Write as _, path::PathBuf, process::Stdio};

use anyhow::{Result, ensure};
use clap::ValueEnum;

use crate::{
    binaries::Binaries,
    dist::{self, Arch},
    document,
    metadata::Metadata,
    process, say, setup, vm,
};

const DOCUMENT: &str = "docs/existing-connections.md";
/// In the tests' package.
const PROGRAM: &str = "existing";
/// The kernel of this machine.
const RUNNING: &str = "running";
/// The last line of a measurement.
const COMPLETE: &str = "complete";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to measure
    #[arg(value_enum, default_value = "modes")]
    what: What,
    /// On which kernel (repeatable): `running`, or one of `cargo xtask vm`, in an emulated machine, which is slow: begin
    /// with few takes
    #[arg(long, value_name = "NAME", default_value = RUNNING)]
    kernel: Vec<String>,
    /// Write the table in docs/existing-connections.md
    #[arg(long)]
    write: bool,
    /// Passed on to the measurement; `-- --help` lists what it takes
    #[arg(last = true)]
    args: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Each server with each client in each mode
    Modes,
    /// One pool of connections through faults that come and go
    Pool,
    /// Thousands of takes and give-backs, and what a killed agent costs
    Proof,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure()?;
    process::run(process::cargo().args(["build", "--release", "--bins", "--package", "httpfault-tests"]))?;
    let metadata = Metadata::read()?;
    let mut table = String::new();
    for kernel in &args.kernel {
        table += &match kernel.as_str() {
            RUNNING => here(args, &metadata)?,
            name => emulated(args, &metadata, name)?,
        };
    }
    if args.write {
        document::replace(DOCUMENT, &args.what.mark(), &table)?;
    }
    Ok(())
}

/// On the kernel that runs now.
fn here(args: &Args, metadata: &Metadata) -> Result<String> {
    let mut existing = Binaries::release(metadata).program(PROGRAM)?;
    existing
        .env("HTTPFAULT_AGENT", dist::program(Arch::NATIVE, &metadata.target_directory, dist::AGENT)?)
        .arg(args.what.word())
        .args(&args.args);
    let mut table = String::new();
    let done = process::watch(&mut existing, |line| {
        say::line(line);
        let _infallible = writeln!(table, "{line}");
    })?;
    ensure!(done, "the measurement did not come to its end");
    Ok(table)
}

/// On another kernel, with the files that the servers have here.
fn emulated(args: &Args, metadata: &Metadata, kernel: &str) -> Result<String> {
    let existing = Binaries::release(metadata);
    let servers = args.args.windows(2).filter(|words| words[0] == "--server").flatten();
    let files = process::read(existing.program(PROGRAM)?.arg("files").args(servers))?;
    let files: Vec<PathBuf> = files.lines().map(PathBuf::from).collect();
    let program = existing.program(PROGRAM)?.get_program().to_string_lossy().into_owned();
    let run = [&[program, args.what.word().to_owned()], args.args.as_slice()].concat();
    let (release, mut machine) = vm::machine(kernel, &files, &run)?;
    let mut table = format!("\n### Linux {release}, emulated\n\n");
    let mut ended = false;
    process::watch(machine.stdin(Stdio::null()), |line| {
        let line = line.trim_end();
        say::line(line);
        // The console has the kernel's lines and the servers' too.
        if line.starts_with('|') || line.starts_with("Machine:") || line.is_empty() {
            let _infallible = writeln!(table, "{line}");
        }
        ended |= line == COMPLETE;
    })?;
    ensure!(ended, "the measurement on {kernel} did not come to its end");
    Ok(table)
}

impl What {
    /// As the program's command line has it.
    fn word(self) -> &'static str {
        match self {
            Self::Modes => "modes",
            Self::Pool => "pool",
            Self::Proof => "proof",
        }
    }

    /// Where its table begins in the document.
    fn mark(self) -> String {
        format!("<!-- written by cargo xtask existing {} --write -->", self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_a_place_for_each_table() {
        let text = std::fs::read_to_string(process::root().join(DOCUMENT)).unwrap();
        for what in What::value_variants() {
            assert!(text.contains(&what.mark()), "{}", what.mark());
        }
    }
}
