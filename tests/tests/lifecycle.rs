//! How faults begin and end: under load without a lost request, with their targets, beside each other.

use std::{
    fs,
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use httpfault_common::contract::{Exit, Outcome as Became, Phase, RemovedHow, RemovedReason};
use httpfault_tests::{
    agent::{self, Agent, Ended, Removing, agent_on, experiment, run_args, status_of},
    clean::Traces,
    command::output,
    docker::{Instance, Plan},
    load::{self, Load, Outcome, Style, Tally},
    site::Site,
    wait,
    wire::{Broken, Connection},
};

const PROXY_PORT: u16 = 20000;
/// For what happens within a few seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Both styles of clients around a fault that `end` ends; returns the agent's end and what the clients saw.
fn under_load(
    label: &str,
    more: &[&str],
    end: impl FnOnce(Agent, &str) -> Result<Ended>,
) -> Result<(Ended, Tally)> {
    let site = Site::take(label)?;
    let before = Traces::now()?;
    let plan = |to, style, pause| load::Plan::new(to, 4, style).pause(Duration::from_millis(pause));
    let loads = [
        Load::start(&site.client, plan(site.v4(), Style::Close, 2)),
        Load::start(&site.client, plan(site.v6(), Style::Close, 2)),
        // Idle for long enough between two requests that its connections are drained.
        Load::start(&site.client, plan(site.v4(), Style::KeepAlive, 40)),
    ];
    let all =
        |wait: &dyn Fn(&Load) -> Result<Duration>| loads.iter().try_for_each(|load| wait(load).map(drop));
    all(&|load| load.await_real(50))?;
    let id = experiment(label);
    let agent = site.inject(&id, more)?;
    all(&|load| load.await_faults(100))?;
    let ended = end(agent, &id)?;
    let over = Instant::now();
    all(&|load| load.await_real(100))?;
    let tallies = loads.into_iter().map(Load::stop).collect::<Result<Vec<_>>>()?;
    let tally = Tally { samples: tallies.into_iter().flat_map(|tally| tally.samples).collect() };

    assert!(tally.lost().is_empty(), "{}: {:?}", tally.summary(), tally.lost());
    let after = tally.sent_after(over);
    assert_eq!(after.count(Outcome::Fault), 0, "a fault after the end: {}", after.summary());
    before.none_but_these(&[(&site.target, PROXY_PORT)])?;
    Ok((ended, tally))
}

#[test]
fn deadline_under_load() -> Result<()> {
    let (ended, tally) = under_load("deadline", &["--duration", "5"], |agent, _| agent.ended())?;
    let removed = ended.removed()?;
    assert_eq!((ended.code()?, removed.exit, removed.reason), (0, Exit::Done, RemovedReason::Deadline));
    // Requests whose answer the clients read are the ones that the agent counted.
    let faulted = ended.target()?.counters.faulted;
    assert_eq!(faulted, tally.count(Outcome::Fault) as u64, "{ended:?}");
    // What came in the course of time adds up to the same.
    let counters = ended.target()?.counters;
    let history = removed.history.context("no history")?;
    let sums =
        [&history.faulted, &history.spared, &history.connections].map(|series| series.iter().sum::<u64>());
    let connections = counters.connections_inbound + counters.connections_in_task;
    assert_eq!(sums, [faulted, counters.spared, connections], "{history:?}");
    let busy = history.faulted.iter().filter(|count| **count > 0).count();
    assert!(history.step_ms == 1000 && history.steps >= 5 && busy >= 5, "{history:?}");
    // How long the agent takes to remove the fault depends on the machine; how long clients see it does not, because the
    // kernel knows the end.
    let faults = || tally.samples.iter().filter(|sample| sample.outcome == Outcome::Fault);
    let first = faults().map(|sample| sample.ended).min().context("no fault")?;
    let last = faults().map(|sample| sample.sent).max().context("no fault")?;
    let seen = (last - first).as_secs_f64();
    assert!((4.0..6.0).contains(&seen), "requests were faulted for {seen} s, 5 were asked for");
    Ok(())
}

#[test]
fn sigterm_under_load() -> Result<()> {
    let (ended, _) = under_load("sigterm", &[], |agent, _| agent.terminate())?;
    let removed = ended.removed()?;
    assert_eq!((ended.code()?, removed.exit, removed.reason), (130, Exit::Aborted, RemovedReason::Signal));
    Ok(())
}

#[test]
fn remove_under_load() -> Result<()> {
    let (ended, _) = under_load("remove", &[], |agent, id| {
        let (code, report) = agent::remove(&["--experiment-id", id])?;
        assert_eq!((code, report.exit), (Some(0), Exit::Done), "{report:?}");
        assert_eq!(report.removed[0].how, RemovedHow::Ended);
        assert_eq!(report.removed[0].experiment_id, id);
        assert_eq!(status_of(id)?, None, "nothing is left when remove returns");
        agent.ended()
    })?;
    assert_eq!((ended.code()?, ended.removed()?.reason), (0, RemovedReason::Request));
    Ok(())
}

/// Its socket goes before its process does. Whoever comes in between finds an agent that ends by itself.
#[test]
fn remove_finds_an_agent_that_is_ending() -> Result<()> {
    let site = Site::take("ending")?;
    let id = experiment("ending");
    let agent = site.inject(&id, &[])?;
    fs::remove_file(format!("/run/httpfault/{id}/control.sock"))?;
    let remove = Removing::start(&id)?;
    remove.await_its_hold_on_the_agent()?;
    let ended = agent.terminate()?;
    let (code, report) = remove.ended()?;
    assert_eq!((code, report.removed[0].how), (Some(0), RemovedHow::Ended), "{report:?}");
    assert_eq!(ended.code()?, 130);
    Ok(())
}

#[test]
fn forwarding_under_load() -> Result<()> {
    let (ended, tally) =
        under_load("forward", &["--modify-response-body", "false"], |agent, _| agent.terminate())?;
    let counters = ended.target()?.counters;
    assert_eq!((counters.forwarded, counters.upstream_errors), (counters.faulted, 0), "{counters:?}");
    assert!(tally.count(Outcome::Fault) > 0);
    Ok(())
}

#[test]
fn target_container_stopped() -> Result<()> {
    let instance = Instance::take()?;
    let before = Traces::now()?;
    let web = Plan::nginx("web").publish(8080, 80).serve(&instance, 80)?;
    let id = experiment("stopped");
    let agent = instance.inject(["--container", "web"], &id, &[])?;
    assert_eq!(instance.get(Instance::published(8080), "/")?.status, 503);
    web.stop()?;
    assert_target_gone(&agent.ended()?)?;
    before.none_but_these(&[])
}

#[test]
fn target_container_restarted() -> Result<()> {
    let instance = Instance::take()?;
    let before = Traces::now()?;
    let web = Plan::nginx("web").publish(8080, 80).serve(&instance, 80)?;
    let id = experiment("restarted");
    let agent = instance.inject(["--container", "web"], &id, &[])?;
    assert_eq!(instance.get(Instance::published(8080), "/")?.status, 503);
    web.restart()?;
    web.wait_for(80)?;
    assert!(instance.get(Instance::published(8080), "/")?.is_real());
    assert_target_gone(&agent.ended()?)?;
    before.none_but_these(&[(&web.namespace()?, PROXY_PORT)])
}

fn assert_target_gone(ended: &Ended) -> Result<()> {
    let removed = ended.removed()?;
    assert_eq!((ended.code()?, removed.exit, removed.reason), (2, Exit::Partly, RemovedReason::TargetGone));
    assert_eq!(ended.target()?.outcome, Became::TargetGone);
    Ok(())
}

/// On ECS a namespace that lives on keeps the task's network interface attached.
#[test]
fn namespace_of_a_dead_target_goes_away() -> Result<()> {
    let site = Site::take("gone")?;
    let id = experiment("gone");
    let agent = site.inject(&id, &[])?;
    // A client that holds a connection to the responder must not hold the namespace.
    let mut held = site.open(site.v4())?;
    assert_eq!(held.get("/")?.status, 503);
    let (client, _machine) = site.abandon()?;
    wait::until("the kernel to let the namespace go", Duration::from_secs(5), || {
        Ok(!output(client.command("ip").args(["link", "show"]))?.contains("eth0"))
    })?;
    assert_target_gone(&agent.ended()?)
}

#[test]
fn several_targets_have_each_their_outcome() -> Result<()> {
    let instance = Instance::take()?;
    let one = Plan::nginx("one").publish(8081, 80).serve(&instance, 80)?;
    let _two = Plan::nginx("two").publish(8082, 80).serve(&instance, 80)?;
    let quiet = Plan::pause("quiet").start(&instance)?;
    let id = experiment("several");
    let more = ["--container", "two", "--container", "quiet", "--container", "missing", "--duration", "4"];
    let mut agent = instance.run(["--container", "one"], &id, &more)?;
    let injected = agent.injected()?;
    let failed =
        injected.targets.iter().filter(|target| target.error.is_some()).map(|target| target.target.as_str());
    assert_eq!(failed.collect::<Vec<_>>(), ["container quiet", "container missing"], "{injected:?}");
    for port in [8081, 8082] {
        assert_eq!(instance.get(Instance::published(port), "/")?.status, 503);
    }
    one.stop()?;
    assert_eq!(instance.get(Instance::published(8082), "/")?.status, 503, "the other target keeps its fault");

    let ended = agent.ended()?;
    let removed = ended.removed()?;
    assert_eq!((ended.code()?, removed.reason), (2, RemovedReason::Deadline), "{removed:?}");
    let became =
        |name: &str| removed.targets.iter().find(|target| target.target == name).map(|target| target.outcome);
    assert_eq!(became("container one"), Some(Became::TargetGone), "{removed:?}");
    assert_eq!(became("container two"), Some(Became::Faulted), "{removed:?}");
    assert_eq!(became("container quiet"), Some(Became::Failed), "{removed:?}");
    assert_eq!(became("container missing"), Some(Became::Failed), "{removed:?}");
    drop(quiet);
    Ok(())
}

#[test]
fn two_faults_at_once() -> Result<()> {
    let instance = Instance::take()?;
    let before = Traces::now()?;
    let _one = Plan::nginx("one").publish(8081, 80).serve(&instance, 80)?;
    let _two = Plan::nginx("two").publish(8082, 80).serve(&instance, 80)?;
    let (first, second) = (experiment("first"), experiment("second"));
    let agent_one = instance.inject(["--container", "one"], &first, &[])?;
    let agent_two = instance.inject(["--container", "two"], &second, &["--status-code", "429"])?;
    let get = |port| instance.get(Instance::published(port), "/");
    let (one, two) = (get(8081)?, get(8082)?);
    assert_eq!((one.status, one.injected_by()), (503, Some(first.as_str())));
    assert_eq!((two.status, two.injected_by()), (429, Some(second.as_str())));
    let known = status_of(&second)?.context("status of the second fault")?;
    assert_eq!((known.phase, known.status_code, known.port), (Phase::On, 429, 80));
    assert_eq!(known.targets[0].counters.faulted, 1);

    agent_one.terminate()?;
    assert!(get(8081)?.is_real());
    assert_eq!(get(8082)?.status, 429, "ending one leaves the other");
    let (code, report) = agent::remove(&["--all"])?;
    assert_eq!(code, Some(0), "{report:?}");
    assert!(get(8082)?.is_real());
    assert_eq!(agent_two.ended()?.code()?, 0);
    before.none_but_these(&[])
}

/// To the kernel a client that says nothing is a handshake for a while, and a listener that closes forgets those.
#[test]
fn a_silent_client_is_told_of_the_end() -> Result<()> {
    let site = Site::take("silent")?;
    let agent = site.inject(&experiment("silent"), &[])?;
    let mut silent = site.open(site.v4())?;
    assert_eq!(agent.terminate()?.code()?, 130);
    assert_eq!(silent.rest()?, b"", "its connection was closed in order");
    Ok(())
}

/// An agent without descriptors can accept nobody: new clients have to reach the application, not to wait.
#[test]
fn out_of_descriptors_the_application_answers() -> Result<()> {
    let site = Site::take("descriptors")?;
    // Enough for putting the fault on; the responder has the rest for connections.
    let words = run_args(["--pid", &site.pid().to_string()], &experiment("descriptors"), &[]);
    let mut limited = Command::new("prlimit");
    limited.arg("--nofile=96:96").arg(agent::binary()?).args(words);
    let (agent, _) = Agent::inject(limited)?;

    let mut kept = Vec::new();
    let answered = |kept: &mut Vec<Connection>| -> Result<Option<u16>> {
        let mut connection = site.open(site.v4())?;
        connection.patience(Duration::from_millis(500))?;
        let answer = connection.get("/");
        kept.push(connection);
        match answer {
            Ok(response) => Ok(Some(response.status)),
            // Nobody has accepted it.
            Err(Broken::Timeout) => Ok(None),
            Err(broken) => Err(broken.into()),
        }
    };
    assert_eq!(answered(&mut kept)?, Some(503));
    wait::until("the application's answer", PATIENCE, || Ok(answered(&mut kept)? == Some(200)))?;
    kept.clear();
    wait::until("the fault to be back", PATIENCE, || Ok(answered(&mut Vec::new())? == Some(503)))?;
    assert_eq!(agent.terminate()?.code()?, 130);
    Ok(())
}

#[test]
fn same_experiment_again_reports_the_running_one() -> Result<()> {
    let instance = Instance::take()?;
    let _web = Plan::nginx("web").publish(8080, 80).serve(&instance, 80)?;
    let id = experiment("again");
    let agent = instance.inject(["--container", "web"], &id, &[])?;
    let again = instance.run(["--container", "web"], &id, &[])?.ended()?;
    let running = again.already_running()?;
    assert_eq!(again.code()?, 0, "{again:?}");
    assert_eq!((running.experiment_id.as_str(), running.agent_pid), (id.as_str(), agent.pid()));
    assert_eq!(running.phase, Phase::On);
    // Another experiment under the same name is not the running one.
    let other = instance.run(["--container", "web"], &id, &["--status-code", "418"])?.ended()?;
    assert_eq!(other.code()?, 1, "{other:?}");
    let problem = &other.refused()?.problems[0];
    assert!(problem.problem.contains("other settings") && problem.next.contains(&id), "{problem}");
    assert_eq!(instance.get(Instance::published(8080), "/")?.status, 503, "the running one goes on");
    assert_eq!(agent.terminate()?.code()?, 130);
    Ok(())
}

#[test]
fn second_fault_on_the_same_port_is_refused_by_name() -> Result<()> {
    let instance = Instance::take()?;
    let web = Plan::nginx("web").publish(8080, 80).serve(&instance, 80)?;
    let (first, second) = (experiment("first"), experiment("second"));
    let agent = instance.inject(["--container", "web"], &first, &[])?;
    // By another name, and with another proxy port: it is the namespace and the port that count.
    let pid = web.pid()?.to_string();
    let ended = instance.run(["--pid", &pid], &second, &["--proxy-port", "20001"])?.ended()?;
    let report = ended.refused()?;
    assert_eq!(ended.code()?, 1, "{ended:?}");
    assert!(report.problems.iter().any(|problem| problem.to_string().contains(&first)), "{report:?}");
    assert_eq!(instance.get(Instance::published(8080), "/")?.injected_by(), Some(first.as_str()));
    agent.terminate()?;
    // Now it may.
    let agent = instance.inject(["--pid", &pid], &second, &["--proxy-port", "20001"])?;
    assert_eq!(instance.get(Instance::published(8080), "/")?.injected_by(), Some(second.as_str()));
    drop(agent);
    Ok(())
}

/// A published port is reached through the host's NAT; two runs after one another leave it as it was.
#[test]
fn status_shows_the_running_fault_as_text_and_json() -> Result<()> {
    let instance = Instance::take()?;
    let web = Plan::nginx("web").publish(8080, 80).serve(&instance, 80)?;
    let id = experiment("status");
    assert_eq!(status_of(&id)?, None);
    let agent = Agent::start(agent_on(&instance, run_args(["--container", "web"], &id, &[]))?)?;
    let to: SocketAddr = web.v4(80)?;
    wait::until("status to say that the fault is on", Duration::from_secs(10), || {
        Ok(status_of(&id)?.is_some_and(|fault| fault.phase == Phase::On))
    })?;
    assert_eq!(instance.namespace().run(|| httpfault_tests::wire::get(to, "/"))?.status, 503);
    let text = output(&mut agent::agent(["status", "--output", "text"])?)?;
    assert!(text.contains(&id) && text.contains("503"), "{text}");
    agent.terminate()?;
    assert_eq!(status_of(&id)?, None);
    Ok(())
}
