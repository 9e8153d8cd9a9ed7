//! `cargo xtask bench`: what the data path costs, measured with the agent as it is handed out, by the program `bench` of
//! the tests' package; with `-- scale`, what the controller does with thousands of tasks, with `-- abort`, how soon it takes a fault off.

use anyhow::{Result, ensure};

use crate::{
    binaries::Binaries,
    dist::{self, Arch},
    metadata::Metadata,
    process, setup,
};

/// Programs of the tests' package that a measurement needs.
const PROGRAMS: [&str; 5] = ["bench", "floor", "fixture-client", "fixture-engine", "fixture-server"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Three minutes instead of a quarter of an hour
    #[arg(long)]
    quick: bool,
    /// Write docs/benchmarks.md and its plots, with mitmproxy among the peers and flame graphs of what misses a goal
    #[arg(long)]
    write: bool,
    /// Write the page from the last measurement, and measure only what `-- --only` names
    #[arg(long, conflicts_with = "quick")]
    again: bool,
    /// Passed on to the measurement; `-- --help` lists what it takes
    #[arg(last = true)]
    args: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure()?;
    let mut build = process::cargo();
    build.args(["build", "--release", "--package", "httpfault-tests"]);
    process::run(build.args(PROGRAMS.iter().flat_map(|program| ["--bin", program])))?;
    let metadata = Metadata::read()?;
    let measured = |program| dist::program(Arch::NATIVE, &metadata.target_directory, program);
    let mut bench = Binaries::release(&metadata).program("bench")?;
    bench.env("HTTPFAULT_AGENT", measured(dist::AGENT)?);
    if args.args.iter().any(|word| word == "scale" || word == "abort") {
        bench.env("HTTPFAULT_CTL", measured(dist::CTL)?);
    }
    let kept = metadata.target_directory.join("bench.json");
    bench.arg(if args.again { "--from" } else { "--keep" }).arg(kept);
    if args.quick {
        bench.arg("--quick");
    }
    if args.write {
        bench.arg("--write").arg(process::root().join("docs"));
        bench.arg("--mitmproxy");
        ensure_perf()?;
        let symbols = dist::with_symbols(Arch::NATIVE, &metadata.target_directory, dist::AGENT)?;
        bench.arg("--symbols").arg(symbols);
    }
    process::run(bench.args(&args.args))
}

/// What takes the samples of flame graphs.
fn ensure_perf() -> Result<()> {
    if process::find("perf").is_none() {
        ensure!(setup::install(&["linux-perf"])?, "flame graphs need perf: install it");
    }
    Ok(())
}
