//! `cargo xtask demo`: a fault on this machine, from start to end. The show itself is the program `demo` of the
//! tests' package, which has the containers and the load at hand.

use anyhow::Result;

use crate::{
    binaries::Binaries,
    dist::{self, Arch},
    metadata::Metadata,
    process, setup,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Passed on to the demonstration; `-- --help` lists what it takes
    #[arg(last = true)]
    args: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure()?;
    process::run(process::cargo().args(["build", "--bins"]))?;
    let metadata = Metadata::read()?;
    // The agent as it is handed out: a debug build has four times as many pieces.
    let agent = dist::program(Arch::NATIVE, &metadata.target_directory, dist::AGENT)?;
    let mut demo = Binaries::debug(&metadata).program("demo")?;
    process::run(demo.env("HTTPFAULT_AGENT", agent).args(&args.args))
}
