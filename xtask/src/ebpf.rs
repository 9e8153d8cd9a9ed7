//! `cargo xtask ebpf`: the kernel programs alone, and what is in their objects.

mod programs;

use std::fs;

use anyhow::{Context, Result, bail};
use ebpf_build::Toolchain;

use crate::{metadata::Metadata, process, say};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fail when the compiler warns
    #[arg(long)]
    pub(crate) deny_warnings: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let toolchain = Toolchain::find()?;
    let objects = toolchain.build(process::root(), &Metadata::read()?.target_directory.join("ebpf"))?;
    if !objects.warnings.is_empty() {
        eprintln!("{}", objects.warnings);
    }

    for file in [&objects.new_connections, &objects.existing_connections] {
        let path = file.display();
        let bytes = fs::read(file).with_context(|| format!("reading {path}"))?;
        let programs = programs::read(&bytes).with_context(|| format!("reading the programs of {path}"))?;
        say::line(programs::table(&programs));
        say::line(format_args!("{path}: {} bytes", bytes.len()));
    }
    say::line(format_args!("built by {toolchain}"));
    if args.deny_warnings && !objects.warnings.is_empty() {
        bail!("the kernel programs build with warnings");
    }
    Ok(())
}
