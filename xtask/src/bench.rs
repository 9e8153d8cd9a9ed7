//! `cargo xtask bench`: what the data path costs, measured in release builds by the program `bench` of the tests'
//! package.

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
    let binaries = Binaries::release(&Metadata::read()?);
    process::run(binaries.program("bench")?.args(&args.args))
}
