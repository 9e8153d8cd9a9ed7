//! `cargo xtask chaos`: faults under load while their parts are killed, stopped and starved, by the program `chaos` of
//! the tests' package.

use std::fmt::Write as _;

use anyhow::{Result, ensure};

use crate::{binaries::Binaries, document, metadata::Metadata, process, say, setup};

const DOCUMENT: &str = "docs/chaos.md";
const MARK: &str = "<!-- written by cargo xtask chaos --write -->";
/// In the tests' package.
const PROGRAM: &str = "chaos";
/// How long it takes of a change's time.
const CI_SECONDS: u64 = 120;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What is done when comes from it alone
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many faults
    #[arg(long, default_value_t = 1000)]
    rounds: u64,
    /// Begin no round after so many seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// Write the table in docs/chaos.md
    #[arg(long)]
    write: bool,
    /// Passed on: `--first N`, `--keep-going`, `--verbose`
    #[arg(last = true)]
    args: Vec<String>,
}

impl Args {
    /// What every change has to survive.
    pub(crate) fn ci() -> Self {
        Self { seed: 1, rounds: 1000, seconds: Some(CI_SECONDS), write: false, args: Vec::new() }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure()?;
    // With the other targets, as the tests are built, so that nothing is compiled twice with other features.
    process::run(process::cargo().args(["build", "--all-targets"]))?;
    let mut chaos = Binaries::debug(&Metadata::read()?).program(PROGRAM)?;
    chaos.args(["--seed", &args.seed.to_string(), "--rounds", &args.rounds.to_string()]);
    if let Some(seconds) = args.seconds {
        chaos.args(["--seconds", &seconds.to_string()]);
    }
    let mut table = String::new();
    let passed = process::watch(chaos.args(&args.args), |line| {
        say::line(line);
        let _infallible = writeln!(table, "{line}");
    })?;
    ensure!(passed, "a round failed; what it was is above, with the seed");
    if args.write {
        document::replace(DOCUMENT, MARK, table.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_a_place_for_the_table() {
        let text = std::fs::read_to_string(process::root().join(DOCUMENT)).unwrap();
        assert!(text.contains(MARK));
    }
}
