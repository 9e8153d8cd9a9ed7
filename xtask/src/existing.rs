//! `cargo xtask existing`: what becomes of connections that exist when a fault starts, with real servers and clients and
//! the agent as it is handed out, by the program `existing` of the tests' package.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use crate::{
    binaries::Binaries,
    dist::{self, Arch},
    document,
    metadata::Metadata,
    process, say, setup,
};

const DOCUMENT: &str = "docs/existing-connections.md";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to measure
    #[arg(value_enum, default_value = "modes")]
    what: What,
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
    /// Thousands of takes and give-backs, and what a killed agent costs
    Proof,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure()?;
    process::run(process::cargo().args(["build", "--release", "--bins", "--package", "httpfault-tests"]))?;
    let metadata = Metadata::read()?;
    let mut existing = Binaries::release(&metadata).program("existing")?;
    existing.env("HTTPFAULT_AGENT", dist::program(Arch::NATIVE, &metadata.target_directory, dist::AGENT)?);
    let mut table = String::new();
    let done = process::watch(existing.arg(args.what.word()).args(&args.args), |line| {
        say::line(line);
        let _infallible = writeln!(table, "{line}");
    })?;
    ensure!(done, "the measurement did not come to its end");
    if args.write {
        document::replace(DOCUMENT, &args.what.mark(), &table)?;
    }
    Ok(())
}

impl What {
    /// As the program's command line has it.
    fn word(self) -> &'static str {
        match self {
            Self::Modes => "modes",
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
