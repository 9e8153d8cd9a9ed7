//! Control groups: what the target and its neighbours are told apart by.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use procfs::process::Process;

use crate::{finding::Host, wait};

/// A group made for the suite, removed when dropped. Its processes have ended by then.
#[derive(Debug)]
pub(crate) struct Cgroup {
    pub(crate) path: PathBuf,
}

impl Cgroup {
    /// A group below the root of the hierarchy that this kind of host has.
    pub(crate) fn create(host: Host, label: &str) -> Result<Self> {
        let kind = if host == Host::LegacyCgroups { "cgroup" } else { "cgroup2" };
        let path = mount(kind)?.join(format!("httpfault-vm-{}-{label}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("making the cgroup {}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A process that was waited for leaves its group a moment later.
        let removed = wait::until("the cgroup to be empty", Duration::from_secs(5), || {
            Ok(fs::remove_dir(&self.path).is_ok())
        });
        if let Err(why) = removed {
            eprintln!("removing {}: {why:#}", self.path.display());
        }
    }
}

/// Moves the calling process into the group.
pub(crate) fn join(group: &Path) -> Result<()> {
    // 0 is whoever writes it.
    fs::write(group.join("cgroup.procs"), "0")
        .with_context(|| format!("joining the cgroup {}", group.display()))
}

/// Where the first hierarchy of this kind is mounted: on hybrid hosts that is not /sys/fs/cgroup.
fn mount(kind: &str) -> Result<PathBuf> {
    let mounts = Process::myself().and_then(|me| me.mountinfo()).context("reading the mounts")?;
    let found = mounts.0.into_iter().find(|mount| mount.fs_type == kind);
    Ok(found.with_context(|| format!("no {kind} is mounted"))?.mount_point)
}
