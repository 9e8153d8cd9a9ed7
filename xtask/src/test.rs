//! `cargo xtask test`: all tests, with plain `cargo test`, and one closing line.

mod plan;
mod tally;

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, anyhow, ensure};
use plan::Selection;
use tally::Tally;

use crate::{binaries::Binaries, metadata::Metadata, process, say, setup};

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// `unit` (everything that needs no root), `e2e`, a package, or one end-to-end suite such as `lifecycle`
    #[arg(long, value_name = "NAME")]
    suite: Option<String>,
    /// Make the pod's image of this archive of `cargo xtask dist`, not of the debug builds
    #[arg(long, value_name = "FILE")]
    archive: Option<PathBuf>,
    /// Passed on to the test programs: a filter, `--nocapture`
    #[arg(last = true)]
    args: Vec<String>,
}

impl Args {
    /// The suite of the pod's image, with the image made of that archive.
    pub(crate) fn pod(archive: &Path) -> Self {
        Self { suite: Some("pod".to_owned()), archive: Some(archive.to_owned()), args: Vec::new() }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
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
    let tally = all(selections, args, &binaries)?;
    say::line(format_args!("\n{tally} in {}", say::time(start.elapsed())));
    tally.verdict()
}

/// What has the machine for itself waits for most of its time: the rest runs beside it, and is shown when both are over.
fn all(selections: Vec<Selection>, args: &Args, binaries: &Binaries) -> Result<Tally> {
    let (alone, beside): (Vec<_>, Vec<_>) = selections.into_iter().partition(|one| one.needs_root);
    if alone.is_empty() {
        return tests(&beside, args, binaries, &mut |line| say::line(line));
    }
    let mut kept = Vec::new();
    let (first, second) = thread::scope(|scope| {
        let rest = scope.spawn(|| tests(&beside, args, binaries, &mut |line| kept.push(line.to_owned())));
        let first = tests(&alone, args, binaries, &mut |line| say::line(line));
        (first, rest.join())
    });
    kept.iter().for_each(say::line);
    let second = second.map_err(|_panic| anyhow!("the thread that runs the tests of `unit` has panicked"))?;
    Ok(first?.and(second?))
}

/// Runs one `cargo test` after the other, and counts.
fn tests(
    selections: &[Selection],
    args: &Args,
    binaries: &Binaries,
    show: &mut dyn FnMut(&str),
) -> Result<Tally> {
    let mut tally = Tally::default();
    for selection in selections {
        test(selection, args, binaries, &mut tally, show)?;
    }
    Ok(tally)
}

/// Runs one `cargo test` and counts.
fn test(
    selection: &Selection,
    args: &Args,
    binaries: &Binaries,
    tally: &mut Tally,
    show: &mut dyn FnMut(&str),
) -> Result<()> {
    let mut command = process::cargo();
    if let Some(archive) = &args.archive {
        // Tests run in the directory of their package.
        let archive =
            fs::canonicalize(archive).with_context(|| format!("looking for {}", archive.display()))?;
        command.env("HTTPFAULT_ARCHIVE", archive);
    }
    command.args(["test", "--no-fail-fast"]).args(&selection.cargo);
    command.arg("--").args(&selection.harness).args(&args.args);
    binaries.export(&mut command);
    let passed = process::watch(&mut command, |line| {
        tally.line(line);
        show(line);
    })?;
    tally.ended(passed);
    Ok(())
}
