//! `cargo xtask aws-smoke`: one pass over the stack of deploy/smoke, or over the simulator with a world of its shape, by
//! the program `smoke` of the tests' package.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::{
    binaries::Binaries,
    dist::{self, Arch},
    metadata::Metadata,
    process, setup,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Against the simulator on this machine, with debug builds
    #[arg(long)]
    simulate: bool,
    /// Passed on; `-- --help` lists what it takes, such as --region and --role-arn
    #[arg(last = true)]
    args: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure()?;
    process::run(process::cargo().args(["build", "--bins"]))?;
    let metadata = Metadata::read()?;
    let binaries = Binaries::debug(&metadata);
    let mut smoke = binaries.program("smoke")?;
    if args.simulate {
        smoke.arg("--simulate");
    } else {
        let agents = metadata.target_directory.join("aws-smoke");
        fs::create_dir_all(&agents).with_context(|| format!("creating {}", agents.display()))?;
        for (arch, name) in [(Arch::X86_64, "x86_64"), (Arch::Aarch64, "aarch64")] {
            place(&dist::program(arch, &metadata.target_directory, dist::AGENT)?, &agents, name)?;
        }
        smoke.env("HTTPFAULT_CTL", dist::program(Arch::NATIVE, &metadata.target_directory, dist::CTL)?);
        smoke.arg("--agent-dir").arg(&agents);
    }
    process::run(smoke.args(&args.args))
}

fn place(agent: &Path, directory: &Path, arch: &str) -> Result<()> {
    let to = directory.join(format!("httpfault-agent-{arch}"));
    fs::copy(agent, &to).with_context(|| format!("copying {} to {}", agent.display(), to.display()))?;
    Ok(())
}
