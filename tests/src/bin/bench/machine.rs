//! Where the numbers come from.

use std::fs;

use anyhow::{Context, Result};
use procfs::{CpuInfo, Current};

/// CPU model, cores and kernel in one line.
pub(crate) fn description() -> Result<String> {
    let cpus = CpuInfo::current().context("reading /proc/cpuinfo")?;
    let model = cpus.model_name(0).unwrap_or("unknown CPU").to_owned();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("reading the kernel's release")?;
    // What follows the version names this machine's build.
    let version = kernel.split('-').next().unwrap_or_default().trim();
    Ok(format!("Machine: {model}, {} cores, Linux {version}", cpus.num_cores()))
}
