//! A process that can't be mistaken for a later one with the same number.

use std::{os::fd::OwnedFd, sync::Arc};

use anyhow::{Context as _, ensure};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

/// A process, held by a pidfd. Open it first, look at /proc by its number, then ask [`Process::prove`] whether what was
/// seen was this process's.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pidfd: Arc<OwnedFd>,
}

impl Process {
    pub(crate) fn open(pid: u32) -> anyhow::Result<Self> {
        let raw = Pid::from_raw(i32::try_from(pid)?).context("no process has pid 0")?;
        let pidfd =
            pidfd_open(raw, PidfdFlags::NONBLOCK).with_context(|| format!("opening process {pid}"))?;
        Ok(Self { pid, pidfd: Arc::new(pidfd) })
    }

    /// That it lives still, so that its number has not been another's since it was opened.
    pub(crate) fn prove(&self) -> anyhow::Result<()> {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        // A pidfd becomes readable when its process ends.
        let ended = poll(&mut [PollFd::new(&*self.pidfd, PollFlags::IN)], Some(&at_once))
            .with_context(|| format!("looking whether process {} lives", self.pid))?;
        ensure!(ended == 0, "process {} has ended meanwhile", self.pid);
        Ok(())
    }

    /// A descriptor of its own that becomes readable when the process ends.
    pub(crate) fn watch(&self) -> anyhow::Result<OwnedFd> {
        self.pidfd.try_clone().context("copying a descriptor")
    }
}
