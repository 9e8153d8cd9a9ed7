//! The watcher: a small process in its own session that outlives the agent and removes what the kernel does not.
//!
//! SSM ends a command by SIGKILL to its process group. Links vanish with the agent; a TC filter on kernels before 6.6
//! and the state on disk do not. The watcher waits for the agent's end on a pidfd, then sweeps.

use std::{
    io::{Read as _, Write as _},
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use httpfault_common::contract::ExperimentId;
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{PidfdFlags, getppid, pidfd_open, setsid},
};

use crate::state;

/// What the watcher says when it watches.
const READY: &[u8] = b"watching\n";

/// Starts the watcher and waits until it has left the agent's process group.
pub(crate) fn start(experiment_id: &ExperimentId) -> anyhow::Result<()> {
    let mut watcher = Command::new("/proc/self/exe")
        .arg0("httpfault-agent")
        .args(["watch", experiment_id.as_str(), &std::process::id().to_string()])
        .current_dir("/")
        // An inherited pipe would keep the SSM command open for as long as the watcher lives.
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("starting the watcher")?;
    let mut said = Vec::new();
    let pipe = watcher.stdout.take().context("the watcher has no output")?;
    pipe.take(READY.len() as u64).read_to_end(&mut said).context("waiting for the watcher")?;
    ensure!(said == READY, "the watcher did not start");
    Ok(())
}

/// The watcher itself.
pub(crate) fn run(experiment_id: &ExperimentId, agent_pid: u32) -> anyhow::Result<()> {
    setsid().context("leaving the agent's session")?;
    let agent = rustix::process::Pid::from_raw(i32::try_from(agent_pid)?).context("no process has pid 0")?;
    let pidfd = pidfd_open(agent, PidfdFlags::empty()).context("opening the agent")?;
    // Opened before asking: if the agent had died in between, its number could be another process's by now.
    ensure!(getppid() == Some(agent), "the agent is gone already");
    std::io::stdout().write_all(READY)?;
    // The pipe's reader goes on only now, and nothing more is said.
    let null = std::fs::File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;

    poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None).context("waiting for the agent's end")?;
    match state::entry(experiment_id)? {
        Some(entry) if !entry.alive => entry.sweep(),
        // Cleanly removed, or a new run of the same experiment has claimed it.
        _ => Ok(()),
    }
}
