//! cgroup v2 directories: what the kernel programs tell tasks apart by.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use procfs::process::Process;

use crate::{machine, netns::Namespace, wait};

/// A cgroup made for a test. Dropping it kills what runs inside.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

/// CPU time, its two parts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    pub user: Duration,
    pub kernel: Duration,
}

impl Cgroup {
    pub fn create(label: &str) -> Result<Self> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let path = mount()?.join(machine::name(label, SERIAL.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&path).with_context(|| format!("creating cgroup {}", path.display()))?;
        Ok(Self { path })
    }

    /// A command that will run in this cgroup and in `namespace`; its process id is the program's own.
    pub fn command(&self, namespace: &Namespace, program: impl AsRef<OsStr>) -> Command {
        let mut command = namespace.command("sh");
        let enter = r#"echo $$ > "$0" && exec "$@""#;
        command.args(["-c", enter]).arg(self.path.join("cgroup.procs")).arg(program);
        command
    }

    /// What has run in it so far. The kernel counts this in every cgroup, with or without controllers.
    pub fn cpu(&self) -> Result<Cpu> {
        let path = self.path.join("cpu.stat");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let number = |key: &str| {
            let mut words = text.lines().filter_map(|line| line.split_once(' '));
            let value = words.find(|(name, _)| *name == key).and_then(|(_, value)| value.parse().ok());
            value.map(Duration::from_micros).with_context(|| format!("{} has no {key}", path.display()))
        };
        Ok(Cpu { user: number("user_usec")?, kernel: number("system_usec")? })
    }

    /// What runs in it.
    pub fn processes(&self) -> Result<Vec<Process>> {
        let path = self.path.join("cgroup.procs");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        // One that ended meanwhile needs no mention.
        Ok(text.lines().filter_map(|pid| Process::new(pid.parse().ok()?).ok()).collect())
    }
}

impl Cpu {
    pub fn since(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            kernel: self.kernel.saturating_sub(before.kernel),
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            eprintln!("removing cgroup {}: {error:#}", self.path.display());
        }
    }
}

/// Where the cgroup v2 tree is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified on a hybrid host.
pub fn mount() -> Result<PathBuf> {
    let mounts = Process::myself().and_then(|me| me.mountinfo()).context("reading /proc/self/mountinfo")?;
    let tree = mounts.0.into_iter().find(|mount| mount.fs_type == "cgroup2");
    Ok(tree.context("no cgroup v2 tree is mounted")?.mount_point)
}

/// Removes the cgroups of test processes that were killed before they could, and what runs inside.
pub fn sweep() -> Result<()> {
    let tree = mount()?;
    let entries = fs::read_dir(&tree).with_context(|| format!("reading {}", tree.display()))?;
    let orphans = entries.flatten().filter(|entry| machine::is_orphan(&entry.file_name().to_string_lossy()));
    orphans.into_iter().try_for_each(|entry| remove(&entry.path()))
}

/// Kills what runs in a cgroup and removes it.
fn remove(path: &Path) -> Result<()> {
    let all_at_once = path.join("cgroup.kill");
    wait::until("the cgroup to be empty", Duration::from_secs(5), || {
        if all_at_once.exists() {
            fs::write(&all_at_once, "1").context("killing its processes")?;
        } else {
            kill_each(path)?;
        }
        Ok(fs::read_to_string(path.join("cgroup.events"))?.contains("populated 0"))
    })?;
    fs::remove_dir(path).context("removing the directory")
}

/// Before Linux 5.14 one by one; what is started meanwhile is seen at the next look.
fn kill_each(path: &Path) -> Result<()> {
    let processes = fs::read_to_string(path.join("cgroup.procs")).context("listing its processes")?;
    for pid in processes.lines().filter_map(|line| line.parse().ok()) {
        // It may have ended by itself.
        let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    Ok(())
}
