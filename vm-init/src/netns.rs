//! Network namespaces without names: they go with the last process that is in them.

use std::{fs::File, thread};

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace, kept by an open descriptor.
#[derive(Debug)]
pub(crate) struct Netns {
    pub(crate) file: File,
}

impl Netns {
    /// A new one, empty but for a loopback interface that is down.
    pub(crate) fn create() -> Result<Self> {
        let file = on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).context("making a network namespace")?;
            File::open("/proc/thread-self/ns/net").context("opening the new network namespace")
        })?;
        Ok(Self { file })
    }

    /// That of this process.
    pub(crate) fn own() -> Result<Self> {
        let file = File::open("/proc/self/ns/net").context("opening this process's network namespace")?;
        Ok(Self { file })
    }

    /// Runs `work` on a thread that has entered the namespace. Sockets and processes made there stay there.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        on_thread(|| {
            setns(&self.file, CloneFlags::CLONE_NEWNET).context("entering a network namespace")?;
            work()
        })
    }
}

/// A thread of its own: it never goes back.
fn on_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let worker = scope.spawn(work);
        worker.join().map_err(|panic| anyhow!("a thread panicked: {panic:?}"))?
    })
}
