//! A run that is told to end before its fault is on, and one whose control socket is flooded.

use std::{
    os::unix::net::{UnixListener, UnixStream},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use httpfault_common::contract::{Exit, Phase, RemovedReason};
use httpfault_tests::{
    agent::{Agent, agent, experiment, run_args, status_of},
    clean::Traces,
    command::output,
    machine::Machine,
    site::Site,
    wait,
};
use nix::sys::signal::Signal;

/// For what happens within a few seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// The engine takes the question and never answers.
#[test]
fn sigterm_while_the_engine_hangs() -> Result<()> {
    let _machine = Machine::take()?;
    let before = Traces::now()?;
    let directory = tempfile::tempdir().context("making a directory")?;
    let socket = directory.path().join("docker.sock");
    let engine = UnixListener::bind(&socket).context("making a socket")?;
    let socket = socket.to_str().context("a path that is text")?;
    let more = ["--docker-socket", socket];
    let agent = Agent::start(agent(run_args(["--container", "web"], &experiment("hang"), &more))?)?;
    let (_asked, _) = engine.accept().context("waiting for the agent's question")?;
    agent.signal(Signal::SIGTERM)?;
    let ended = agent.ended()?;
    let removed = ended.removed()?;
    assert_eq!((ended.code()?, removed.reason), (130, RemovedReason::Signal), "{ended:?}");
    assert_eq!((removed.exit, removed.injected_at), (Exit::Aborted, None), "{removed:?}");
    before.none_but_these(&[])
}

/// More clients than the agent may have descriptors, none of which says anything.
#[test]
fn control_survives_a_flood() -> Result<()> {
    let site = Site::take("flood")?;
    let before = Traces::now()?;
    let id = experiment("flood");
    let agent = site.inject(&id, &[])?;
    let open = procfs::process::Process::new(agent.pid().cast_signed())?.fd_count()?;
    let limit = format!("--nofile={}:", open + 20);
    output(Command::new("prlimit").args(["--pid", &agent.pid().to_string(), &limit]))?;

    let socket = format!("/run/httpfault/{id}/control.sock");
    let silent = (0..100).map(|_| UnixStream::connect(&socket)).collect::<Result<Vec<_>, _>>();
    let silent = silent.context("connecting to the control socket")?;
    let answers = || Ok(status_of(&id)?.is_some_and(|status| status.phase == Phase::On));
    wait::until("the status during the flood", PATIENCE, answers)?;
    assert_eq!(site.get(site.v4(), "/")?.status, 503, "the fault goes on");
    drop(silent);
    assert!(answers()?, "the status after the flood");
    assert_eq!(agent.terminate()?.code()?, 130);
    before.none_but_these(&[(&site.target, 20000)])
}
