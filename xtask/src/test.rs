//! `cargo xtask test`: all tests, with plain `cargo test`, and one closing line.

mod plan;
mod tally;

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Result, ensure};
use plan::Selection;
use tally::Tally;

use crate::{binaries::Binaries, metadata::Metadata, process, say, setup};

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// `unit` (everything that needs no root), `e2e`, a package, or one end-to-end suite such as `lifecycle`
    #[arg(long, value_name = "NAME")]
    suite: Option<String>,
    /// Passed on to the test programs: a filter, `--nocapture`
    #[arg(last = true)]
    args: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    with(args, None)
}

/// The suite of the pod's image, with the image made of that archive.
pub(crate) fn pod(archive: &Path) -> Result<()> {
    with(&Args { suite: Some("pod".to_owned()), ..Args::default() }, Some(archive))
}

fn with(args: &Args, archive: Option<&Path>) -> Result<()> {
    let metadata = Metadata::read()?;
    let selections = plan::selections(&metadata, args.suite.as_deref())?;
    let end_to_end = selections.iter().any(|selection| selection.needs_root);
    ensure!(
        !end_to_end || rustix::process::geteuid().is_root(),
        "the end-to-end tests attach kernel programs and make network namespaces: run as root, \
         or `cargo xtask test --suite unit`"
    );
    if end_to_end {
        setup::ensure()?;
    } else {
        setup::ensure_toolchain()?;
    }

    // One build of everything, so that no selection below compiles a dependency again with other features.
    process::run(process::cargo().args(["build", "--all-targets"]))?;
    let binaries = Binaries::debug(&metadata);
    let start = Instant::now();
    let mut tally = Tally::default();
    for selection in &selections {
        let mut command = process::cargo();
        command.envs(archive.map(|archive| ("HTTPFAULT_ARCHIVE", archive)));
        test(&mut command, selection, &args.args, &binaries, &mut tally)?;
    }

    say::line(format_args!("\n{tally} in {}", say::time(start.elapsed())));
    tally.verdict()
}

/// Runs one `cargo test` and counts.
fn test(
    command: &mut Command,
    selection: &Selection,
    passed_on: &[String],
    binaries: &Binaries,
    tally: &mut Tally,
) -> Result<()> {
    command.args(["test", "--no-fail-fast"]).args(&selection.cargo);
    command.arg("--").args(&selection.harness).args(passed_on);
    binaries.export(command);
    let passed = process::watch(command, |line| {
        tally.line(line);
        say::line(line);
    })?;
    tally.ended(passed);
    Ok(())
}
