//! Which process holds an experiment's lock: that is its agent, whatever is on disk.
//!
//! Processes of containers may have files with the same path, so a path alone proves nothing.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use procfs::process::{FDTarget, Process, all_processes};

use super::{LOCK, ROOT};

/// What the kernel adds to the path of an open file that was removed.
const DELETED: &str = " (deleted)";

/// The process that has this lock file open.
pub(super) fn of(lock: &Path) -> Option<u32> {
    let file = fs::metadata(lock).ok()?;
    let is_lock = |open: &Open| (open.device, open.inode) == (file.dev(), file.ino());
    processes()
        .find_map(|process| open_below_root(&process).any(|open| is_lock(&open)).then(|| pid(&process))?)
}

/// Names of experiments whose agents live although somebody removed their locks, and those agents.
pub(super) fn without_lock() -> Vec<(String, u32)> {
    // Where the directory is gone too, the file system that it was on.
    let place =
        fs::metadata(ROOT).or_else(|_gone| fs::metadata(Path::new(ROOT).parent().unwrap_or(Path::new("/"))));
    let Ok(place) = place else { return Vec::new() };
    let mut found = Vec::new();
    for process in processes() {
        let here = open_below_root(&process).filter(|open| open.device == place.dev());
        let names = here.filter_map(|open| open.lost_experiment().map(str::to_owned));
        found.extend(names.zip(pid(&process)));
    }
    found.sort();
    found.dedup_by(|a, b| a.0 == b.0);
    found
}

/// An open file.
struct Open {
    path: String,
    device: u64,
    inode: u64,
}

impl Open {
    /// The experiment whose lock this was, if it was removed.
    fn lost_experiment(&self) -> Option<&str> {
        let below = self.path.strip_prefix(ROOT)?.strip_prefix('/')?;
        let (name, file) = below.strip_suffix(DELETED)?.split_once('/')?;
        (file == LOCK).then_some(name)
    }
}

fn processes() -> impl Iterator<Item = Process> {
    all_processes().into_iter().flatten().flatten()
}

fn pid(process: &Process) -> Option<u32> {
    u32::try_from(process.pid).ok()
}

/// Files that the process has open and whose paths are those of state, in its own view.
fn open_below_root(process: &Process) -> impl Iterator<Item = Open> {
    process.fd().into_iter().flatten().flatten().filter_map(|held| {
        let FDTarget::Path(path) = held.target else { return None };
        let path = path.to_str()?.to_owned();
        if !path.starts_with(ROOT) {
            return None;
        }
        let file = fs::metadata(format!("/proc/{}/fd/{}", process.pid, held.fd)).ok()?;
        Some(Open { path, device: file.dev(), inode: file.ino() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(path: &str) -> Option<String> {
        let open = Open { path: path.to_owned(), device: 0, inode: 0 };
        open.lost_experiment().map(str::to_owned)
    }

    #[test]
    fn only_a_removed_lock_is_a_lost_one() {
        assert_eq!(lost("/run/httpfault/hf-1/lock (deleted)").as_deref(), Some("hf-1"));
        assert_eq!(lost("/run/httpfault/hf-1/lock"), None);
        assert_eq!(lost("/run/httpfault/.lock (deleted)"), None);
        assert_eq!(lost("/run/httpfault/hf-1/other (deleted)"), None);
        assert_eq!(lost("/run/httpfault2/hf-1/lock (deleted)"), None);
    }
}
