//! Control groups: which processes are the target's, and what the kernel programs are attached to.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use procfs::{
    FromRead as _,
    process::{MountInfos, Process},
};
use serde::{Deserialize, Serialize};

/// The control group of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cgroup {
    hierarchy: Hierarchy,
    /// Path below the hierarchy's root.
    path: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Hierarchy {
    /// cgroup v2, at this mount point.
    Unified { mount: PathBuf },
    /// A cgroup v1 hierarchy, by its id in /proc/<pid>/cgroup: tells processes apart, but nothing can be attached.
    Legacy { id: u32 },
}

/// The unified form of a cgroup, to attach programs to.
#[derive(Clone, Debug)]
pub(crate) struct Unified {
    pub(crate) dir: PathBuf,
}

impl Cgroup {
    /// The cgroup that sets a process apart: its cgroup v2, else the most specific cgroup v1. With a container id it
    /// must be the container's: on hosts whose containers live in cgroup v1, all of them share the engine's v2 cgroup.
    /// `None`: the process is in the root, where nothing sets it apart.
    pub(crate) fn of_process(pid: u32, container_id: Option<&str>) -> anyhow::Result<Option<Self>> {
        let process = Process::new(i32::try_from(pid)?)?;
        let mount = unified_mount()?;
        let ours = |path: &str| path != "/" && container_id.is_none_or(|id| path.contains(id));
        let mut candidates: Vec<_> =
            process.cgroups()?.into_iter().filter(|group| ours(&group.pathname)).collect();
        // cgroup v2 has hierarchy 0; among v1 hierarchies the deepest path is the most specific one.
        candidates.sort_by_key(|group| (group.hierarchy != 0, std::cmp::Reverse(group.pathname.len())));
        Ok(candidates.into_iter().find_map(|group| {
            let hierarchy = match (group.hierarchy, &mount) {
                (0, Some(mount)) => Hierarchy::Unified { mount: mount.clone() },
                (0, None) => return None,
                (id, _) => Hierarchy::Legacy { id },
            };
            Some(Self { hierarchy, path: PathBuf::from(group.pathname) })
        }))
    }

    /// Whether its path has a part that contains this text.
    pub(crate) fn mentions(&self, text: &str) -> bool {
        self.path.iter().any(|part| part.to_str().is_some_and(|part| part.contains(text)))
    }

    /// Whether a process is in it or below it.
    pub(crate) fn contains(&self, process: &Process) -> bool {
        let id = match self.hierarchy {
            Hierarchy::Unified { .. } => 0,
            Hierarchy::Legacy { id } => id,
        };
        process.cgroups().is_ok_and(|groups| {
            groups
                .into_iter()
                .any(|group| group.hierarchy == id && Path::new(&group.pathname).starts_with(&self.path))
        })
    }

    /// The processes in it and below it.
    pub(crate) fn processes(&self) -> anyhow::Result<Vec<Process>> {
        let Some(unified) = self.unified()? else {
            let all = procfs::process::all_processes()?.filter_map(Result::ok);
            return Ok(all.filter(|process| self.contains(process)).collect());
        };
        let mut pids = Vec::new();
        collect_pids(&unified.dir, &mut pids)?;
        // A process that has ended since is no mistake.
        Ok(pids.into_iter().filter_map(|pid| Process::new(pid).ok()).collect())
    }

    /// What to attach to; `None` on cgroup v1.
    pub(crate) fn unified(&self) -> io::Result<Option<Unified>> {
        let Hierarchy::Unified { mount } = &self.hierarchy else { return Ok(None) };
        let below = self.path.strip_prefix("/").unwrap_or(&self.path);
        let dir = mount.join(below);
        // It must be there: programs are to be attached to it.
        fs::metadata(&dir)?;
        Ok(Some(Unified { dir }))
    }
}

/// Where cgroup v2 is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified on hybrid hosts.
fn unified_mount() -> anyhow::Result<Option<PathBuf>> {
    let mounts = MountInfos::from_file("/proc/self/mountinfo")?;
    Ok(mounts.into_iter().find(|mount| mount.fs_type == "cgroup2").map(|mount| mount.mount_point))
}

fn collect_pids(dir: &Path, pids: &mut Vec<i32>) -> io::Result<()> {
    // Reading cgroup.procs of a threaded cgroup is refused; its processes are listed by the ancestor.
    if let Ok(listed) = fs::read_to_string(dir.join("cgroup.procs")) {
        pids.extend(listed.lines().filter_map(|line| line.parse::<i32>().ok()));
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect_pids(&entry.path(), pids)?;
        }
    }
    Ok(())
}
