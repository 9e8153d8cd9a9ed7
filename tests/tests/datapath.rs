//! 200, then the fault, then 200 again: in each network mode, over IPv4 and IPv6, and for nobody else.

use std::net::SocketAddr;

use anyhow::Result;
use httpfault_tests::{
    agent::experiment,
    clean::Traces,
    command::output,
    docker::{INSTANCE_V4, INSTANCE_V6, Instance, Plan},
    load::{self, Load, Outcome, Style},
    site::Site,
    wire::Response,
};

const PROXY_PORT: u16 = 20000;

/// Asserts that `responses` are all injected by `experiment`, as the default fault has it.
fn assert_faulted(response: &Response, experiment: &str) {
    assert_eq!((response.status, response.injected_by()), (503, Some(experiment)), "{response:?}");
    assert!(!response.body.is_empty(), "the chaos string is missing: {response:?}");
}

fn assert_real(response: &Response) {
    assert!(response.status == 200 && response.is_real() && response.text() == "real\n", "{response:?}");
}

#[test]
fn bridge_with_a_published_port() -> Result<()> {
    let instance = Instance::take()?;
    let before = Traces::now()?;
    let web = Plan::nginx("web").publish(8080, 80).serve(&instance, 80)?;
    let neighbour = Plan::nginx("neighbour").publish(8081, 80).serve(&instance, 80)?;
    let target = [Instance::published(8080), SocketAddr::from((INSTANCE_V6, 8080)), web.v6(80)?];
    let others =
        [Instance::published(8081), SocketAddr::from((INSTANCE_V6, 8081)), neighbour.v6(80)?, web.v6(81)?];
    for to in target.iter().chain(&others) {
        assert_real(&instance.get(*to, "/before")?);
    }

    let id = experiment("bridge");
    let agent = instance.inject(["--container", "web"], &id, &[])?;
    for to in target {
        assert_faulted(&instance.get(to, "/during")?, &id);
    }
    for to in others {
        assert_real(&instance.get(to, "/during")?);
    }
    assert_eq!(web.logged("/during")?, 1, "only the request to port 81 reaches the application");
    assert_eq!(neighbour.logged("/during")?, 3);

    let ended = agent.terminate()?;
    for to in target.iter().chain(&others) {
        assert_real(&instance.get(*to, "/after")?);
    }
    assert_eq!(ended.code()?, 130, "{ended:?}");
    assert_eq!(ended.target()?.counters.faulted, 3, "{ended:?}");
    before.none_but_these(&[(&web.namespace()?, PROXY_PORT)])
}

#[test]
fn shared_namespace_of_a_task() -> Result<()> {
    let instance = Instance::take()?;
    let before = Traces::now()?;
    let pause = Plan::pause("pause").task("aaaa1111").start(&instance)?;
    let _web = Plan::nginx("web").task("aaaa1111").network_of(&pause).serve(&instance, 80)?;
    let _sidecar =
        Plan::server("sidecar", 9000).task("aaaa1111").network_of(&pause).serve(&instance, 9000)?;
    let id = experiment("awsvpc");
    let agent = instance.inject(["--task-id", "aaaa1111"], &id, &[])?;
    let namespace = instance.namespace();
    for to in [pause.v4(80)?, pause.v6(80)?] {
        assert_faulted(&namespace.run(|| httpfault_tests::wire::get(to, "/"))?, &id);
    }
    for to in [pause.v4(9000)?, pause.v6(9000)?, pause.v4(81)?] {
        assert_real(&namespace.run(|| httpfault_tests::wire::get(to, "/"))?);
    }
    let ended = agent.terminate()?;
    assert_eq!(ended.target()?.counters.faulted, 2, "{ended:?}");
    assert_real(&namespace.run(|| httpfault_tests::wire::get(pause.v4(80)?, "/"))?);
    before.none_but_these(&[(&pause.namespace()?, PROXY_PORT)])
}

#[test]
fn host_network() -> Result<()> {
    let instance = Instance::take()?;
    let before = Traces::now()?;
    let _web = Plan::nginx("web").host_network().serve(&instance, 80)?;
    let neighbour = Plan::nginx("neighbour").publish(8081, 80).serve(&instance, 80)?;
    let id = experiment("host");
    let agent = instance.inject(["--container", "web"], &id, &[])?;
    for ip in [INSTANCE_V4.into(), INSTANCE_V6.into()] {
        assert_faulted(&instance.get(SocketAddr::new(ip, 80), "/")?, &id);
        assert_real(&instance.get(SocketAddr::new(ip, 81), "/")?);
        assert_real(&instance.get(SocketAddr::new(ip, 8081), "/")?);
    }
    // What the instance itself asks another container for is not the host's port 80.
    let namespace = instance.namespace();
    assert_real(&namespace.run(|| httpfault_tests::wire::get(neighbour.v4(80)?, "/"))?);
    let ended = agent.terminate()?;
    assert_eq!(ended.target()?.counters.faulted, 2, "{ended:?}");
    assert_real(&instance.get((INSTANCE_V4, 80).into(), "/")?);
    before.none_but_these(&[(&namespace, PROXY_PORT)])
}

#[test]
fn only_the_chosen_interface() -> Result<()> {
    let instance = Instance::take()?;
    let _web = Plan::nginx("web").host_network().serve(&instance, 80)?;
    // docker0 gets a second address family and peer only with a container on it.
    let neighbour = Plan::nginx("neighbour").serve(&instance, 81)?;
    let id = experiment("interface");
    let agent = instance.inject(["--container", "web"], &id, &["--interface", "docker0"])?;
    assert_real(&instance.get((INSTANCE_V4, 80).into(), "/")?);
    let bridge: SocketAddr = "172.17.0.1:80".parse()?;
    assert_faulted(&neighbour.namespace()?.run(|| httpfault_tests::wire::get(bridge, "/"))?, &id);
    let ended = agent.terminate()?;
    assert_eq!(ended.target()?.counters.faulted, 1, "{ended:?}");
    Ok(())
}

/// The SYN of a reused port meets a TIME_WAIT socket of the one before: the application's from before the fault, the
/// responder's during it. Steering from TC would drop such a SYN and lose seconds to its retransmission.
#[test]
fn ports_in_time_wait_are_reused_without_loss() -> Result<()> {
    const CONNECTIONS: usize = 4000;
    let site = Site::take("timewait")?;
    output(site.client.command("sysctl").args(["-qw", "net.ipv4.ip_local_port_range=40000 40063"]))?;
    for to in site.addresses() {
        let plan = load::Plan::new(to, 8, Style::Close);
        let warm_up = Load::start(&site.client, plan);
        warm_up.await_real(500)?;
        let warm_up = warm_up.stop()?;
        assert!(warm_up.lost().is_empty(), "before the fault: {}", warm_up.summary());

        let id = experiment("timewait");
        let agent = site.inject(&id, &[])?;
        let served = site.served()?;
        let counter = |name| site.client.counter(name);
        let (retransmitted, syns) = (counter("TcpRetransSegs")?, counter("TcpExtTCPSynRetrans")?);
        let during = Load::start(&site.client, plan);
        during.await_faults(CONNECTIONS)?;
        let during = during.stop()?;
        assert_eq!(during.count(Outcome::Fault), during.samples.len(), "{}", during.summary());
        assert_eq!(site.served()?, served, "a connection escaped to the application");
        assert_eq!(counter("TcpExtTCPSynRetrans")?, syns, "a SYN was retransmitted");
        assert_eq!(counter("TcpRetransSegs")?, retransmitted, "a segment was retransmitted");
        assert_eq!(site.target.counter("TcpExtListenOverflows")?, 0);
        drop(agent);
    }
    Ok(())
}

/// Each spared request of a client that closes its connection takes one to the application, and the target's namespace
/// has far fewer ports for that than are needed in a minute of TIME_WAIT.
#[test]
fn spared_connections_never_use_up_the_targets_ports() -> Result<()> {
    const CONNECTIONS: usize = 4000;
    let site = Site::take("ports")?;
    output(site.target.command("sysctl").args(["-qw", "net.ipv4.ip_local_port_range=40000 40063"]))?;
    let agent = site.inject(&experiment("ports"), &["--percent", "0"])?;
    for to in site.addresses() {
        let spared = Load::start(&site.client, load::Plan::new(to, 8, Style::Close));
        spared.await_real(CONNECTIONS)?;
        let spared = spared.stop()?;
        assert_eq!(spared.count(Outcome::Real), spared.samples.len(), "{}", spared.summary());
    }
    let counters = agent.terminate()?.target()?.counters;
    assert!(counters.spared >= 2 * CONNECTIONS as u64, "{counters:?}");
    assert_eq!((counters.faulted, counters.existing_escaped), (0, 0), "{counters:?}");
    Ok(())
}
