//! `cargo xtask setup`: finds what building and testing need, and installs what is missing where it may.

mod needs;
mod system;
mod toolchain;

use anyhow::{Context, Result, bail};
use ebpf_build::Toolchain;
use needs::Need;
use system::System;

use crate::say;

/// Says what is there, and installs what is not.
pub(crate) fn run() -> Result<()> {
    ensure()?;
    say::line(format_args!("kernel programs: {}", Toolchain::find()?));
    for need in &needs::NEEDS {
        say::line(format_args!("{}: {}", need.found().unwrap_or_default(), need.reason));
    }
    Ok(())
}

/// Installs what is missing for building and for all tests. Silent and quick when nothing is.
pub(crate) fn ensure() -> Result<()> {
    ensure_all(&needs::missing())
}

/// Installs what is missing for building alone.
pub(crate) fn ensure_toolchain() -> Result<()> {
    ensure_all(&[])
}

/// Installs packages of Debian or Ubuntu for one command; tells whether this machine lets us.
pub(crate) fn install(packages: &[&str]) -> Result<bool> {
    match System::detect() {
        System::Apt(apt) => apt.install(packages).map(|()| true),
        System::Other => Ok(false),
    }
}

fn ensure_all(missing: &[&Need]) -> Result<()> {
    let toolchain = Toolchain::find();
    if let (true, Ok(_)) = (missing.is_empty(), &toolchain) {
        return Ok(());
    }
    let System::Apt(apt) = System::detect() else {
        if let Err(missing) = &toolchain {
            eprintln!("no toolchain for the kernel programs:\n  {}", missing.tried.join("\n  "));
        }
        bail!("{}", system::instructions(missing, toolchain.is_ok()));
    };

    let packages: Vec<&str> = missing.iter().flat_map(|need| need.apt).copied().collect();
    if !missing.is_empty() {
        apt.install(&packages)?;
    }
    if toolchain.is_err() {
        toolchain::install(&apt).context("installing a toolchain for the kernel programs")?;
    }
    let still: Vec<&str> = needs::missing().iter().map(|need| need.program).collect();
    if !still.is_empty() {
        bail!("the packages are installed, and yet these programs are not found: {}", still.join(", "));
    }
    Ok(())
}
