//! The processes of simulated hosts, found by their mount namespace: that they can't leave by setsid or fork.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a killed process may take to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// The processes in some mount namespaces.
#[derive(Debug)]
pub(crate) struct Census {
    namespaces: HashSet<u64>,
}

impl Census {
    pub(crate) fn of(namespaces: impl IntoIterator<Item = u64>) -> Self {
        Census { namespaces: namespaces.into_iter().collect() }
    }

    /// Process ids. Threads of this process are none, and zombies have no namespace any more.
    pub(crate) fn processes(&self) -> Vec<i32> {
        if self.namespaces.is_empty() {
            return Vec::new();
        }
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| self.contains(*pid)).collect()
    }

    /// Kills them, and again those that were born meanwhile, until none is left.
    pub(crate) fn end(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = self.processes();
            if left.is_empty() || Instant::now() > deadline {
                return;
            }
            for pid in left {
                // The only error that can happen is that it has just ended.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    fn contains(&self, pid: i32) -> bool {
        fs::metadata(format!("/proc/{pid}/ns/mnt"))
            .is_ok_and(|namespace| self.namespaces.contains(&namespace.ino()))
    }
}
