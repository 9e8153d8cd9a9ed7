//! `cargo xtask bench`: what the data path costs, measured with the agent as it is handed out, by the program `bench` of
//! the tests' package; with `-- scale`, what the controller does with thousands of tasks, with `-- abort`, how soon it takes a fault off.

use anyhow::Result;

use crate::{
    binaries::Binaries,
    dist::{self, Arch},
    metadata::Metadata,
    process, setup,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Passed on to the measurement; `-- --help` lists what it takes
    #[arg(last = true)]
    args: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure()?;
    process::run(process::cargo().args(["build", "--release", "--bins", "--package", "httpfault-tests"]))?;
    let metadata = Metadata::read()?;
    let measured = |program| dist::program(Arch::NATIVE, &metadata.target_directory, program);
    let mut bench = Binaries::release(&metadata).program("bench")?;
    bench.env("HTTPFAULT_AGENT", measured(dist::AGENT)?);
    if args.args.iter().any(|word| word == "scale" || word == "abort") {
        bench.env("HTTPFAULT_CTL", measured(dist::CTL)?);
    }
    process::run(bench.args(&args.args))
}
