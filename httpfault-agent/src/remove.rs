//! `remove`: ends faults from outside. Needs no state but the directory's name, and succeeds where nothing is.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use httpfault_common::contract::{Exit, ExperimentId, LeftBehind, RemoveReport, RemovedFault, RemovedHow};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use crate::{
    control,
    state::{self, Entry},
};

/// How long a healthy agent may take: its grace for open connections, and some.
const GRACEFUL: Duration = Duration::from_secs(15);
/// How long a killed process may take to be gone.
const KILLED: Duration = Duration::from_secs(5);

/// Ends one experiment, or every one.
pub(crate) async fn remove(only: Option<&ExperimentId>) -> anyhow::Result<RemoveReport> {
    let entries = state::all()?;
    let chosen: Vec<Entry> =
        entries.into_iter().filter(|entry| only.is_none_or(|id| id.as_str() == entry.name)).collect();
    let (mut removed, mut left_behind) = (Vec::new(), Vec::new());
    for entry in chosen {
        match end(&entry).await {
            Ok(how) => removed.push(RemovedFault { experiment_id: entry.name, how }),
            Err(why) => left_behind.push(LeftBehind {
                what: format!("fault {}", entry.name),
                error: format!("{why:#}"),
                remove_with: format!("httpfault-agent remove --experiment-id {}", entry.name),
            }),
        }
    }
    let exit = if left_behind.is_empty() { Exit::Done } else { Exit::LeftBehind };
    Ok(RemoveReport { exit, removed, left_behind })
}

/// Gracefully, else by force; then sweeps up what is left.
async fn end(entry: &Entry) -> anyhow::Result<RemovedHow> {
    let how = if entry.alive { end_agent(entry).await? } else { RemovedHow::Swept };
    match entry.refresh()? {
        None => Ok(how),
        Some(left) if left.alive => anyhow::bail!("{} still holds it", state::holder_name(&left)),
        Some(left) => {
            left.sweep()?;
            Ok(how)
        }
    }
}

/// An agent at its very end listens no more while it still holds the lock; it is no agent that hangs, so it has as long as
/// any other to answer.
async fn end_agent(entry: &Entry) -> anyhow::Result<RemovedHow> {
    let agent = Agent::of(entry)?;
    let asked = Instant::now();
    let Err(why) = control::stop(&entry.socket(), GRACEFUL).await else { return Ok(RemovedHow::Ended) };
    if let (true, Some(agent)) = (entry.is_lost(), &agent) {
        // There is no socket to ask it by.
        agent.signal(Signal::TERM)?;
        if agent.is_gone_within(GRACEFUL)? {
            return Ok(RemovedHow::Ended);
        }
    }
    // Nobody has the lock's file open any more: its last act is to remove it.
    let Some(agent) = agent else { return Ok(RemovedHow::Ended) };
    if agent.is_gone_within(control::PATIENCE.saturating_sub(asked.elapsed()))? {
        return Ok(RemovedHow::Ended);
    }
    log::warn!("fault {}: {why:#}; killing its agent", entry.name);
    agent.kill()?;
    Ok(RemovedHow::Killed)
}

/// The process that holds an experiment's lock. It is found by that, never by a number that was written down.
struct Agent {
    pid: u32,
    pidfd: OwnedFd,
}

impl Agent {
    fn of(entry: &Entry) -> anyhow::Result<Option<Self>> {
        let Some(pid) = entry.holder() else { return Ok(None) };
        let raw = Pid::from_raw(i32::try_from(pid)?).context("no process has pid 0")?;
        let pidfd = match pidfd_open(raw, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return Ok(None),
            opened => opened.with_context(|| format!("opening process {pid}"))?,
        };
        // Whether the number still means that process.
        Ok((entry.holder() == Some(pid)).then_some(Self { pid, pidfd }))
    }

    /// Works on a stopped one too.
    fn kill(&self) -> anyhow::Result<()> {
        self.signal(Signal::KILL)?;
        let gone = self.is_gone_within(KILLED)?;
        anyhow::ensure!(gone, "process {} did not end within {} s of SIGKILL", self.pid, KILLED.as_secs());
        Ok(())
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(why) => Err(why).with_context(|| format!("sending {signal:?} to process {}", self.pid)),
        }
    }

    fn is_gone_within(&self, patience: Duration) -> anyhow::Result<bool> {
        let patience = Timespec::try_from(patience)?;
        let gone = poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&patience))
            .with_context(|| format!("waiting for the end of process {}", self.pid))?;
        Ok(gone > 0)
    }
}
