//! One test at a time has the machine: `/run/httpfault`, the list of kernel programs and the two cores are shared.
//! What it is, for measurements.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use procfs::{CpuInfo, Current};

use crate::{cgroup, netns};

/// What names of things that tests make begin with.
const PREFIX: &str = "hft-";

/// Held by a test for its whole life. Locks of different test processes exclude each other too.
#[derive(Debug)]
pub struct Machine {
    _lock: File,
}

impl Machine {
    /// Waits for its turn.
    pub fn take() -> Result<Self> {
        let machine = Self { _lock: locked("tests.lock")? };
        cgroup::sweep()?;
        netns::sweep()?;
        Ok(machine)
    }
}

/// Name of something that this process makes and removes.
pub fn name(label: &str, serial: u32) -> String {
    format!("{PREFIX}{label}-{}-{serial}", std::process::id())
}

/// Whether this is a [`name`] of a process that is gone.
pub fn is_orphan(name: &str) -> bool {
    let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.rsplit('-').nth(1));
    pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
}

/// The directory of everything that lives longer than one test process.
pub fn directory() -> Result<PathBuf> {
    let directory = std::env::temp_dir().join("httpfault-tests");
    fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    Ok(directory)
}

/// Waits for the lock on a file of that name; it is released when the file is dropped or the process dies.
pub fn locked(name: &str) -> Result<File> {
    let path = directory()?.join(name);
    let file = File::options().create(true).append(true).open(&path);
    let file = file.with_context(|| format!("opening {}", path.display()))?;
    file.lock().with_context(|| format!("locking {}", path.display()))?;
    Ok(file)
}

/// CPU model, cores and kernel in one line.
pub fn description() -> Result<String> {
    let cpus = CpuInfo::current().context("reading /proc/cpuinfo")?;
    let model = cpus.model_name(0).unwrap_or("unknown CPU").to_owned();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("reading the kernel's release")?;
    // What follows the version names this machine's build.
    let version = kernel.split('-').next().unwrap_or_default().trim();
    Ok(format!("Machine: {model}, {} cores, Linux {version}", cpus.num_cores()))
}
