//! `remove`: ends faults from outside. Needs no state but the directory's name, and succeeds where nothing is.

use std::time::Duration;

use anyhow::Context as _;
use httpfault_common::contract::{Exit, ExperimentId, LeftBehind, RemoveReport, RemovedFault, RemovedHow};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use crate::{
    control,
    state::{self, Entry},
};

/// How long a healthy agent may take: its grace for open connections, and some.
const GRACEFUL: Duration = Duration::from_secs(15);
/// How long a killed process may take to be gone.
const KILLED: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// Ends one experiment, or every one.
pub(crate) async fn remove(only: Option<&ExperimentId>) -> anyhow::Result<RemoveReport> {
    let entries = state::entries()?;
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
    let mut how = RemovedHow::Swept;
    if entry.alive {
        how = match control::stop(&entry.socket(), GRACEFUL).await {
            Ok(()) => RemovedHow::Ended,
            Err(why) => {
                log::warn!("fault {}: {why:#}; killing its agent", entry.name);
                kill(entry)?;
                RemovedHow::Killed
            }
        };
    }
    match entry.refresh()? {
        None => Ok(how),
        Some(left) if left.alive => anyhow::bail!("{} still holds it", state::holder_name(&left)),
        Some(left) => {
            left.sweep()?;
            Ok(how)
        }
    }
}

/// Ends an agent that does not answer, a stopped one too. It is found by the lock that it holds, never by a number
/// that was written down.
fn kill(entry: &Entry) -> anyhow::Result<()> {
    let Some(pid) = entry.holder() else { return Ok(()) };
    let agent = Pid::from_raw(i32::try_from(pid)?).context("no process has pid 0")?;
    let pidfd = pidfd_open(agent, PidfdFlags::empty()).with_context(|| format!("opening process {pid}"))?;
    if entry.holder() != Some(pid) {
        return Ok(());
    }
    pidfd_send_signal(&pidfd, Signal::KILL).with_context(|| format!("killing process {pid}"))?;
    let gone =
        poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&KILLED)).context("waiting for its end")?;
    anyhow::ensure!(gone > 0, "process {pid} did not end within {} s of SIGKILL", KILLED.tv_sec);
    Ok(())
}
