//! `cargo xtask bench`: what the data path costs, measured in release builds by the program `bench` of the tests'
//! package; with `-- scale`, what the controller does with thousands of tasks.

use anyhow::Result;

use crate::{binaries::Binaries, metadata::Metadata, process, setup};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Passed on to the measurement; `-- --help` lists what it takes
    #[arg(last = true)]
    args: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure()?;
    // The controller is no part of the data path, and optimising it takes longer than everything else.
    let packages = ["--package", "httpfault-agent", "--package", "httpfault-tests"];
    process::run(process::cargo().args(["build", "--release", "--bins"]).args(packages))?;
    let metadata = Metadata::read()?;
    let mut bench = Binaries::release(&metadata).program("bench")?;
    if args.args.iter().any(|word| word == "scale") {
        // It waits for AWS most of its time: a debug build shows the same.
        process::run(process::cargo().args(["build", "--package", "httpfault-ctl"]))?;
        bench.env("HTTPFAULT_CTL", Binaries::debug(&metadata).path("httpfault-ctl"));
    }
    process::run(bench.args(&args.args))
}
