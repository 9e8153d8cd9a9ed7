//! One of the agent's processes, or two, killed or stopped: real answers at once, and nothing stays.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use httpfault_common::contract::{Exit, Phase, RemovedHow, RemovedReason};
use httpfault_tests::{
    agent::{self, Agent, experiment, status_of},
    clean::Traces,
    load::{self, Load, Outcome, Style},
    site::Site,
    wait,
    wire::Connection,
};
use nix::sys::signal::{Signal, kill};

const PROXY_PORT: u16 = 20000;
/// How long a wedged agent may hold the traffic (DESIGN: the kernel's lease).
const LEASE: Duration = Duration::from_secs(3);

#[test]
fn sigkill_under_load() -> Result<()> {
    let site = Site::take("sigkill")?;
    let before = Traces::now()?;
    let plan = |style| load::Plan::new(site.v4(), 4, style).pause(Duration::from_millis(2));
    let id = experiment("sigkill");
    let agent = site.inject(&id, &[])?;
    let loads =
        [Load::start(&site.client, plan(Style::Close)), Load::start(&site.client, plan(Style::KeepAlive))];
    loads.iter().try_for_each(|load| load.await_faults(200).map(drop))?;
    let killed = Instant::now();
    agent.signal(Signal::SIGKILL)?;
    loads.iter().try_for_each(|load| load.await_real(500).map(drop))?;
    for load in loads {
        let tally = load.stop()?;
        // What is under way at that instant dies with the process: at most one request of each client.
        let lost = tally.lost();
        assert!(lost.len() <= plan(Style::Close).clients, "{}: {lost:?}", tally.summary());
        assert!(lost.iter().all(|sample| sample.ended > killed), "lost before the kill: {lost:?}");
        let last = lost.iter().map(|sample| sample.ended).max().unwrap_or(killed);
        let real = tally.sent_after(killed).first(Outcome::Real).context("no real answer after the kill")?;
        assert!(real - killed < Duration::from_millis(500), "real answers only after {:?}", real - killed);
        let after = tally.sent_after(last + Duration::from_millis(500));
        assert_eq!(after.count(Outcome::Real), after.samples.len(), "{}", after.summary());
    }
    assert!(agent.ended()?.code().is_err(), "it was killed, so it has no exit code");
    assert_at_peace(&before, &site, &id)
}

/// The keeper sweeps; `status` knows nothing more and `remove` has nothing to do.
fn assert_at_peace(before: &Traces, site: &Site, id: &str) -> Result<()> {
    before.none_but_these(&[(&site.target, PROXY_PORT)])?;
    assert_eq!(status_of(id)?, None);
    for args in [&["--experiment-id", id][..], &["--all"]] {
        let (code, report) = agent::remove(args)?;
        assert_eq!((code, report.exit), (Some(0), Exit::Done), "remove {args:?}: {report:?}");
        assert!(report.left_behind.is_empty(), "{report:?}");
    }
    assert!(site.addresses().iter().all(|&to| site.get(to, "/").is_ok_and(|response| response.is_real())));
    Ok(())
}

/// What the keeper had begun with existing connections it ends: none of them notices.
#[test]
fn sigkill_leaves_existing_connections_as_they_were() -> Result<()> {
    let site = Site::take("killreset")?;
    for mode in ["drain", "keep", "reset"] {
        let before = Traces::now()?;
        let mut existing = site.open(site.v4())?;
        assert!(existing.get("/")?.is_real());
        let id = experiment("killreset");
        let agent = site.inject(&id, &["--existing-connections", mode])?;
        agent.signal(Signal::SIGKILL)?;
        agent.ended()?;
        assert_at_peace(&before, &site, &id)?;
        assert!(existing.get("/")?.is_real(), "{mode}");
    }
    Ok(())
}

/// Asks on new connections until the application answers.
fn time_until_real(site: &Site) -> Result<Duration> {
    wait::until("the application to answer", Duration::from_secs(10), || {
        site.client.run(|| {
            let answer = Connection::open(site.v4()).and_then(|mut connection| {
                connection.patience(Duration::from_millis(100))?;
                connection.get("/")
            });
            Ok(answer.is_ok_and(|response| response.is_real()))
        })
    })
}

/// Clients that give up after 300 ms: what the stopped agent had accepted is lost, everything else waits for the lease.
#[test]
fn sigstop_under_load() -> Result<()> {
    let site = Site::take("stopload")?;
    let before = Traces::now()?;
    let id = experiment("stopload");
    let agent = site.inject(&id, &[])?;
    let patience = Duration::from_millis(300);
    let plan = load::Plan::new(site.v4(), 8, Style::Close).pause(Duration::from_millis(2)).patience(patience);
    let load = Load::start(&site.client, plan);
    load.await_faults(200)?;
    let stopped = Instant::now();
    agent.signal(Signal::SIGSTOP)?;
    wait::until("the lease to end", 2 * LEASE, || Ok(stopped.elapsed() > LEASE))?;
    load.await_real(200)?;
    let tally = load.stop()?;
    let real = tally.sent_after(stopped).first(Outcome::Real).context("no real answer after the stop")?;
    assert!(real - stopped <= LEASE, "real answers only after {:?}", real - stopped);
    let after = tally.sent_after(stopped + LEASE);
    assert!(
        !after.samples.is_empty() && after.count(Outcome::Real) == after.samples.len(),
        "{}",
        after.summary()
    );
    let (code, report) = agent::remove(&["--all"])?;
    assert_eq!(code, Some(0), "{report:?}");
    drop(agent);
    assert_at_peace(&before, &site, &id)
}

fn stopped(label: &str) -> Result<(Site, Traces, String, Agent)> {
    let site = Site::take(label)?;
    let before = Traces::now()?;
    let id = experiment(label);
    let agent = site.inject(&id, &[])?;
    assert_eq!(site.get(site.v4(), "/")?.status, 503);
    agent.signal(Signal::SIGSTOP)?;
    let took = time_until_real(&site)?;
    // A look takes up to 100 ms.
    assert!(took <= LEASE + Duration::from_millis(200), "real answers only after {took:?}");
    assert!(site.get(site.v6(), "/")?.is_real());
    Ok((site, before, id, agent))
}

#[test]
fn sigstop_then_remove() -> Result<()> {
    let (site, before, id, agent) = stopped("stopremove")?;
    let known = status_of(&id)?.context("status of a stopped agent")?;
    assert_eq!(known.phase, Phase::NotResponding, "{known:?}");
    let (code, report) = agent::remove(&["--experiment-id", &id])?;
    assert_eq!(code, Some(0), "{report:?}");
    assert_eq!(report.removed[0].how, RemovedHow::Killed, "{report:?}");
    drop(agent);
    assert_at_peace(&before, &site, &id)
}

#[test]
fn sigstop_then_sigcont_ends_the_fault() -> Result<()> {
    let (site, before, id, agent) = stopped("stopcont")?;
    agent.signal(Signal::SIGCONT)?;
    let ended = agent.ended()?;
    assert_eq!((ended.code()?, ended.removed()?.reason), (2, RemovedReason::Lease), "{ended:?}");
    assert_at_peace(&before, &site, &id)
}

#[test]
fn sigkill_of_agent_and_keeper_leaves_only_files() -> Result<()> {
    let site = Site::take("killboth")?;
    let before = Traces::now()?;
    let id = experiment("killboth");
    let agent = site.inject(&id, &[])?;
    let keeper = agent.keeper()?;
    // It must not see the agent's end.
    kill(keeper, Signal::SIGKILL)?;
    agent.signal(Signal::SIGKILL)?;
    agent.ended()?;
    assert!(site.get(site.v4(), "/")?.is_real());
    wait::until("the kernel to free the programs", Duration::from_secs(3), || {
        Ok(before.new_programs()?.is_empty() && before.new_links()? == 0)
    })?;
    let known = status_of(&id)?.context("status of a dead agent's state")?;
    assert_eq!(known.phase, Phase::Stale, "{known:?}");
    // The port is free for a new fault: stale state refuses nobody.
    let second = experiment("killboth");
    let agent = site.inject(&second, &[])?;
    assert_eq!(site.get(site.v4(), "/")?.injected_by(), Some(second.as_str()));
    agent.terminate()?;

    let (code, report) = agent::remove(&["--experiment-id", &id])?;
    assert_eq!((code, report.exit), (Some(0), Exit::Done), "{report:?}");
    // A new run may have swept it up already.
    assert!(report.removed.iter().all(|fault| fault.how == RemovedHow::Swept), "{report:?}");
    assert_at_peace(&before, &site, &id)
}

#[test]
fn damaged_state_is_swept_up() -> Result<()> {
    let site = Site::take("damaged")?;
    let before = Traces::now()?;
    let id = experiment("damaged");
    let agent = site.inject(&id, &[])?;
    let keeper = agent.keeper()?;
    kill(keeper, Signal::SIGSTOP)?;
    agent.signal(Signal::SIGSTOP)?;
    let directory = std::path::Path::new("/run/httpfault").join(&id);
    for entry in std::fs::read_dir(&directory).context("reading the state directory")? {
        let path = entry?.path();
        if path.is_file() {
            std::fs::write(&path, b"\0damaged").with_context(|| format!("damaging {}", path.display()))?;
        }
    }
    kill(keeper, Signal::SIGKILL)?;
    agent.signal(Signal::SIGKILL)?;
    agent.ended()?;
    agent::status().context("status on damaged state")?;
    let (code, report) = agent::remove(&["--all"])?;
    assert_eq!((code, report.exit), (Some(0), Exit::Done), "{report:?}");
    assert_at_peace(&before, &site, &id)
}

/// Answers come from a process of their own. The kernel has nowhere to send new connections when it is gone.
#[test]
fn sigkill_of_the_responder_under_load() -> Result<()> {
    let site = Site::take("killhttp")?;
    let before = Traces::now()?;
    let id = experiment("killhttp");
    let agent = site.inject(&id, &[])?;
    let plan = load::Plan::new(site.v4(), 4, Style::Close).pause(Duration::from_millis(2));
    let load = Load::start(&site.client, plan);
    load.await_faults(200)?;
    let killed = Instant::now();
    kill(agent.responder()?, Signal::SIGKILL)?;
    load.await_real(500)?;
    let tally = load.stop()?;
    let real = tally.sent_after(killed).first(Outcome::Real).context("no real answer after the kill")?;
    assert!(real - killed < Duration::from_secs(1), "real answers only after {:?}", real - killed);
    // What had been accepted, or was about to be.
    let lost = tally.lost();
    assert!(lost.iter().all(|sample| sample.ended > killed), "lost before the kill: {lost:?}");
    let last = lost.iter().map(|sample| sample.ended).max().unwrap_or(killed);
    assert!(last - killed < Duration::from_secs(1), "lost until {:?} after the kill", last - killed);
    let ended = agent.ended()?;
    assert_eq!((ended.code()?, ended.removed()?.reason), (2, RemovedReason::Lease), "{ended:?}");
    let target = ended.target()?;
    assert!(target.counters.faulted >= 200, "what it had counted is lost: {target:?}");
    assert!(target.error.is_some_and(|error| error.problem.contains("answers requests")));
    assert_at_peace(&before, &site, &id)
}

/// A stopped one holds what it has accepted; the kernel's lease ends, and the agent ends the fault, and it.
#[test]
fn sigstop_of_the_responder() -> Result<()> {
    let site = Site::take("stophttp")?;
    let before = Traces::now()?;
    let id = experiment("stophttp");
    let agent = site.inject(&id, &[])?;
    assert_eq!(site.get(site.v4(), "/")?.status, 503);
    kill(agent.responder()?, Signal::SIGSTOP)?;
    let took = time_until_real(&site)?;
    assert!(took <= LEASE + Duration::from_millis(200), "real answers only after {took:?}");
    let ended = agent.ended()?;
    assert_eq!((ended.code()?, ended.removed()?.reason), (2, RemovedReason::Lease), "{ended:?}");
    assert_at_peace(&before, &site, &id)
}

/// Its clients keep their connections, and what they ask on them is the application's when the lease is over.
#[test]
fn connections_of_a_stopped_agent_are_the_applications() -> Result<()> {
    let site = Site::take("stopkept")?;
    let before = Traces::now()?;
    let id = experiment("stopkept");
    let agent = site.inject(&id, &[])?;
    let mut kept = site.open(site.v4())?;
    assert_eq!(kept.get("/")?.status, 503);
    agent.signal(Signal::SIGSTOP)?;
    time_until_real(&site)?;
    wait::until("the kept connection to reach the application", LEASE, || Ok(kept.get("/")?.is_real()))?;
    agent.signal(Signal::SIGCONT)?;
    agent.ended()?;
    assert_at_peace(&before, &site, &id)
}

/// It hears late that the fault is over, and what it finds then is not from before the fault.
#[test]
fn a_keeper_that_was_stopped_does_nothing_after_the_end() -> Result<()> {
    let site = Site::take("keeperlate")?;
    for _round in 0..4 {
        let id = experiment("keeperlate");
        let agent = site.inject(&id, &["--existing-connections", "reset"])?;
        let keeper = agent.keeper()?;
        kill(keeper, Signal::SIGSTOP)?;
        agent.signal(Signal::SIGTERM)?;
        time_until_real(&site)?;
        let after = Load::start(&site.client, load::Plan::new(site.v4(), 16, Style::KeepAlive));
        after.await_real(200)?;
        // So long that a look at the connections is due.
        wait::pause(Duration::from_millis(200));
        kill(keeper, Signal::SIGCONT)?;
        let ended = agent.ended()?;
        assert_eq!(ended.code()?, 130, "{ended:?}");
        after.await_real(200)?;
        let after = after.stop()?;
        assert!(after.lost().is_empty(), "opened after the end: {:?}", after.lost());
        assert_eq!(ended.target()?.counters.existing_reset, 0);
    }
    Ok(())
}

/// Nobody is left to tell it anything, but the keeper.
#[test]
fn a_stopped_responder_does_not_outlive_a_killed_agent() -> Result<()> {
    let site = Site::take("stophttp")?;
    let before = Traces::now()?;
    let id = experiment("stophttp");
    let agent = site.inject(&id, &[])?;
    kill(agent.responder()?, Signal::SIGSTOP)?;
    agent.signal(Signal::SIGKILL)?;
    agent.ended()?;
    wait::until("the application to answer", LEASE, || Ok(site.get(site.v4(), "/")?.is_real()))?;
    assert_at_peace(&before, &site, &id)
}
