//! The processes of a run, whatever there are: the one that was started, and all that come of it.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use procfs::process::{Process, all_processes};

use crate::{agent::Agent, wait};

/// How long what was not killed may take to put everything back.
const GONE: Duration = Duration::from_secs(30);

/// In the order of their numbers; the first is the one that was started.
#[derive(Clone, Debug)]
pub struct Parts(Vec<Part>);

#[derive(Clone, Debug)]
pub struct Part {
    pid: Pid,
    pub name: String,
}

impl Parts {
    /// Those that there are now.
    pub fn of(agent: &Agent) -> Result<Self> {
        let all = all_processes().context("listing processes")?.flatten();
        let all: Vec<(i32, i32, String)> = all
            .filter_map(|process| process.stat().ok())
            .map(|stat| (stat.pid, stat.ppid, stat.comm))
            .collect();
        let first = agent.pid().cast_signed();
        let mut found = vec![first];
        let mut next = 0;
        while let Some(parent) = found.get(next).copied() {
            found.extend(all.iter().filter(|(_, ppid, _)| *ppid == parent).map(|(pid, ..)| *pid));
            next += 1;
        }
        found[1..].sort_unstable();
        let part = |pid: i32| {
            let name = all.iter().find(|(own, ..)| *own == pid).map_or("", |(.., name)| name);
            Part { pid: Pid::from_raw(pid), name: name.to_owned() }
        };
        Ok(Self(found.into_iter().map(part).collect()))
    }

    pub fn nth(&self, nth: usize) -> &Part {
        &self.0[nth % self.0.len()]
    }

    /// A signal for each, the last first: a parent does not see its child's end before its own.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.0.iter().rev().try_for_each(|part| part.signal(signal))
    }

    /// Resident memory of all, bytes. One that ended has none.
    pub fn memory(&self) -> u64 {
        let pages = |part: &Part| Process::new(part.pid.as_raw()).and_then(|process| process.statm());
        let resident = self.0.iter().filter_map(|part| pages(part).ok()).map(|size| size.resident);
        resident.sum::<u64>() * procfs::page_size()
    }

    pub fn await_end(&self) -> Result<()> {
        wait::until("the agent's processes to be gone", GONE, || Ok(self.0.iter().all(Part::is_gone)))
            .map(drop)
            .with_context(|| format!("{self:?}"))
    }
}

impl Part {
    /// One that ended meanwhile is no error.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        match kill(self.pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(why) => Err(why).with_context(|| format!("sending {signal} to {self:?}")),
        }
    }

    /// It looks after what exists, and answers nobody.
    pub fn is_keeper(&self) -> bool {
        self.name.starts_with("httpfault-keepe")
    }

    fn is_gone(&self) -> bool {
        !Path::new("/proc").join(self.pid.to_string()).exists()
    }
}
