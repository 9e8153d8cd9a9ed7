//! Clients inside the task: health checks and sidecars that reach the service on a local address.

use std::net::SocketAddr;

use anyhow::Result;
use httpfault_common::contract::Outcome;
use httpfault_tests::{
    agent::experiment,
    docker::{Instance, Plan},
    inside::{Kept, Seen, ask},
    site::{PORT, Site},
};

const CLIENT: &str = "/usr/bin/fixture-client";

fn assert_faulted(seen: &Seen, asked: SocketAddr, experiment: &str) {
    assert_eq!((seen.status, seen.marker.as_deref()), (503, Some(experiment)), "asked {asked}: {seen:?}");
    assert_eq!(seen.peer, Some(asked), "getpeername must show what was asked for: {seen:?}");
}

fn assert_real(seen: &Seen, asked: SocketAddr) {
    assert!(seen.real && seen.status == 200, "asked {asked}: {seen:?}");
    assert_eq!(seen.peer, Some(asked), "{seen:?}");
}

/// Loopback of both families, as an IPv4-mapped address (what dual-stack sockets use), and more of 127.0.0.0/8.
fn loopback(port: u16) -> Result<Vec<SocketAddr>> {
    let ips = ["127.0.0.1", "127.0.0.53", "[::1]", "[::ffff:127.0.0.1]"];
    Ok(ips.iter().map(|ip| format!("{ip}:{port}").parse()).collect::<Result<_, _>>()?)
}

#[test]
fn on_every_local_address_and_nobody_else_in_the_namespace() -> Result<()> {
    let instance = Instance::take()?;
    let web = Plan::nginx("web").serve(&instance, 80)?;
    let neighbour = Plan::nginx("neighbour").serve(&instance, 80)?;
    let mut local = loopback(80)?;
    local.extend([web.v4(80)?, web.v6(80)?]);
    let elsewhere = [web.v4(81)?, neighbour.v4(80)?, neighbour.v6(80)?, "127.0.0.1:81".parse()?];

    let id = experiment("intask");
    let agent = instance.inject(["--container", "web"], &id, &[])?;
    for &to in &local {
        assert_faulted(&ask(web.exec(CLIENT), to)?, to, &id);
        // The same namespace, but a process of the host: another cgroup.
        let client = web.namespace()?.command(httpfault_tests::command::built("fixture-client")?);
        assert_real(&ask(client, to)?, to);
    }
    for to in elsewhere {
        assert_real(&ask(web.exec(CLIENT), to)?, to);
    }
    let (mut kept, first) = Kept::open(web.exec(CLIENT), local[0])?;
    assert_faulted(&first, local[0], &id);
    assert_faulted(&kept.again()?, local[0], &id);

    let ended = agent.terminate()?;
    let counters = ended.target()?.counters;
    assert_eq!(counters.connections_in_task, local.len() as u64 + 1, "{counters:?}");
    assert_eq!(counters.connections_inbound, 0, "{counters:?}");
    for &to in &local {
        assert_real(&ask(web.exec(CLIENT), to)?, to);
    }
    Ok(())
}

#[test]
fn from_every_container_of_the_task() -> Result<()> {
    let instance = Instance::take()?;
    let pause = Plan::pause("pause").task("bbbb2222").start(&instance)?;
    let _web = Plan::nginx("web").task("bbbb2222").network_of(&pause).serve(&instance, 80)?;
    let sidecar = Plan::pause("sidecar").task("bbbb2222").network_of(&pause).start(&instance)?;
    let stranger = Plan::pause("stranger").task("cccc3333").start(&instance)?;
    let id = experiment("sidecar");
    let agent = instance.inject(["--task-id", "bbbb2222"], &id, &[])?;
    for to in [pause.v4(80)?, "127.0.0.1:80".parse()?] {
        assert_faulted(&ask(sidecar.exec(CLIENT), to)?, to, &id);
    }
    // Another task comes from outside and gets the fault as such.
    let to = pause.v4(80)?;
    assert_faulted(&ask(stranger.exec(CLIENT), to)?, to, &id);
    let counters = agent.terminate()?.target()?.counters;
    assert_eq!((counters.connections_in_task, counters.connections_inbound), (2, 1), "{counters:?}");
    Ok(())
}

/// The responder's own port can be reached by every process of the namespace. It would make a fault that touched nobody
/// look like a success, and answer for the application where nobody asked it to.
#[test]
fn who_was_not_sent_to_the_responder_is_refused() -> Result<()> {
    let site = Site::take("direct")?;
    let agent = site.inject(&experiment("direct"), &[])?;
    for to in ["127.0.0.1:20000", "[::1]:20000"] {
        for client in [site.in_task()?, site.in_namespace_only()?] {
            let seen = ask(client, to.parse()?)?;
            assert!(seen.broken.is_some(), "asked {to}: {seen:?}");
        }
    }
    let target = agent.terminate()?.target()?;
    assert_eq!((target.outcome, target.counters.faulted), (Outcome::NoTraffic, 0), "{target:?}");
    Ok(())
}

/// MODIFY_RESPONSE_BODY=false calls the application from inside its namespace, and is not caught by its own hooks.
#[test]
fn forwarding_reaches_the_application() -> Result<()> {
    let site = Site::take("intask")?;
    let id = experiment("intask-forward");
    let agent = site.inject(&id, &["--modify-response-body", "false"])?;
    for to in loopback(PORT)? {
        let seen = ask(site.in_task()?, to)?;
        assert_faulted(&seen, to, &id);
        assert_eq!(seen.body, "real\n", "asked {to}: {seen:?}");
    }
    let counters = agent.terminate()?.target()?.counters;
    assert_eq!((counters.forwarded, counters.upstream_errors), (4, 0), "{counters:?}");
    Ok(())
}
