//! `cargo xtask demo`: a fault on this machine, from start to end. The show itself is the program `demo` of the
//! tests' package, which has the containers and the load at hand.

use anyhow::Result;

use crate::{binaries::Binaries, metadata::Metadata, process, setup};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Passed on to the demonstration; `-- --help` lists what it takes
    #[arg(last = true)]
    args: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure()?;
    // Debug builds: nothing is measured here, and they are there in a fraction of the time.
    process::run(process::cargo().args(["build", "--bins"]))?;
    let binaries = Binaries::debug(&Metadata::read()?);
    process::run(binaries.program("demo")?.args(&args.args))
}
