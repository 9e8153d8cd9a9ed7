//! What is on disk is no part of the truth: whether a fault is on, the process tells.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use httpfault_common::contract::{Exit, Phase, RemovedHow, RemovedReason};
use httpfault_tests::{
    agent::{self, experiment, status_of},
    clean::Traces,
    site::Site,
    wait,
};
use nix::sys::signal::Signal;

const PROXY_PORT: u16 = 20000;
const PATIENCE: Duration = Duration::from_secs(10);

/// Somebody tidied up: the fault is on all the same, and both commands know it.
#[test]
fn status_and_remove_find_an_agent_whose_state_is_gone() -> Result<()> {
    let site = Site::take("gone")?;
    let before = Traces::now()?;
    for how in [&["--all"][..], &["--experiment-id"]] {
        let id = experiment("gone");
        let agent = site.inject(&id, &[])?;
        fs::remove_dir_all(format!("/run/httpfault/{id}")).context("taking its state away")?;
        let status = status_of(&id)?.context("no status")?;
        assert_eq!((status.phase, status.agent_pid), (Phase::NotResponding, agent.pid()), "{status:?}");
        let args = if how == ["--all"] { how.to_vec() } else { vec![how[0], &id] };
        let (code, report) = agent::remove(&args)?;
        assert_eq!((code, report.exit), (Some(0), Exit::Done), "{report:?}");
        assert_eq!(report.removed[0].how, RemovedHow::Ended, "{report:?}");
        assert_eq!(agent.ended()?.removed()?.reason, RemovedReason::Signal);
        assert!(site.get(site.v4(), "/")?.is_real());
    }
    before.none_but_these(&[(&site.target, PROXY_PORT)])
}

/// A process in a mount namespace of its own, as containers have, with a file of that path open.
struct Impostor(Child);

impl Impostor {
    fn start(id: &str) -> Result<Self> {
        let script = "mount -t tmpfs none /run && mkdir -p /run/httpfault/$0 && \
                      exec 9>/run/httpfault/$0/lock && exec sleep 1000";
        let mut command = Command::new("unshare");
        let child = command.args(["--mount", "sh", "-c", script, id]).stdin(Stdio::null()).spawn();
        let impostor = Self(child.context("starting a process in another mount namespace")?);
        let descriptor = format!("/proc/{}/fd/9", impostor.0.id());
        wait::until("it to have the file open", PATIENCE, || Ok(fs::read_link(&descriptor).is_ok()))?;
        Ok(impostor)
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            eprintln!("ending the impostor: {error}");
        }
    }
}

/// `remove` kills who holds the lock, not who has a file of the same name.
#[test]
fn a_container_with_a_file_of_the_same_path_is_not_the_agent() -> Result<()> {
    let site = Site::take("impostor")?;
    let before = Traces::now()?;
    let id = experiment("impostor");
    // Older than the agent, so found first.
    let mut impostor = Impostor::start(&id)?;
    let agent = site.inject(&id, &[])?;
    agent.signal(Signal::SIGSTOP)?;
    let (code, report) = agent::remove(&["--experiment-id", &id])?;
    assert_eq!((code, report.exit), (Some(0), Exit::Done), "{report:?}");
    assert_eq!(report.removed[0].how, RemovedHow::Killed, "{report:?}");
    assert!(impostor.0.try_wait()?.is_none(), "the container's process lives");
    drop(agent);
    before.none_but_these(&[(&site.target, PROXY_PORT)])
}
