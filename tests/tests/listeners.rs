//! What the target listens with, and who else listens on its port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result};
use httpfault_common::contract::{CheckReport, Outcome};
use httpfault_tests::{
    agent::{agent, experiment},
    command::said,
    inside::ask,
    site::{Application, PORT, Site, TARGET_V4},
    wait,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use procfs::process::all_processes;

const ANY_V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// The status of a request from the client machine, and whether the application answered.
fn seen(site: &Site, to: SocketAddr) -> Result<(u16, bool)> {
    site.get(to, "/").map(|response| (response.status, response.is_real()))
}

/// Go's net/http listens so: the fault's connections are ordinary TCP.
#[test]
fn multipath_tcp() -> Result<()> {
    let site = Site::take_listening("mptcp", ANY_V6, &["--mptcp"])?;
    let agent = site.inject(&experiment("mptcp"), &[])?;
    for to in site.addresses() {
        assert_eq!(seen(&site, to)?, (503, false), "{to}");
    }
    assert_eq!(ask(site.in_task()?, (Ipv4Addr::LOCALHOST, PORT).into())?.status, 503);
    assert_eq!(agent.terminate()?.target()?.counters.faulted, 3);
    for to in site.addresses() {
        assert_eq!(seen(&site, to)?, (200, true), "{to}");
    }
    Ok(())
}

/// Where nobody listens there is nothing to fault.
#[test]
fn only_ipv6() -> Result<()> {
    let site = Site::take_listening("only6", ANY_V6, &["--only-v6"])?;
    let agent = site.inject(&experiment("only6"), &[])?;
    assert_eq!(seen(&site, site.v6())?, (503, false));
    assert!(site.get(site.v4(), "/").is_err(), "nobody listens on IPv4");
    assert_eq!(ask(site.in_task()?, (Ipv6Addr::LOCALHOST, PORT).into())?.status, 503);
    let inside = ask(site.in_task()?, (Ipv4Addr::LOCALHOST, PORT).into())?;
    assert!(inside.broken.is_some(), "nobody listens on IPv4: {inside:?}");
    assert_eq!(agent.terminate()?.target()?.counters.faulted, 2);
    Ok(())
}

/// A process of another cgroup that listens on one address of the namespace: its connections are its own.
#[test]
fn a_neighbour_on_one_address() -> Result<()> {
    let site = Site::take_listening("beside", ANY_V6, &["--reuse-port"])?;
    let neighbour = Application::listen("beside", &site.target, TARGET_V4.into(), PORT, &["--reuse-port"])?;
    let mut agent = site.run(&experiment("beside"), &[])?;
    let warnings = agent.injected()?.warnings.join("\n");
    assert_eq!(seen(&site, site.v4())?, (200, true), "the neighbour's");
    assert_eq!(seen(&site, site.v6())?, (503, false), "the target's");
    for client in [site.in_task()?, neighbour.in_task(&site.target)?] {
        let inside = ask(client, site.v4())?;
        assert!(inside.real, "the neighbour's: {inside:?}");
    }
    assert!(warnings.contains(&format!("(pid {})", neighbour.pid())), "{warnings}");
    assert!(warnings.contains(&site.v4().to_string()), "{warnings}");
    let target = agent.terminate()?.target()?;
    assert_eq!((target.outcome, target.counters.faulted), (Outcome::Faulted, 1), "{target:?}");
    Ok(())
}

/// Other steering programs of the namespace are named before they are met.
#[test]
fn another_steering_program() -> Result<()> {
    let site = Site::take("lookups")?;
    let first = site.inject(&experiment("lookups"), &[])?;
    let other = ["--port", "81", "--proxy-port", "20001"];
    let checked = said(&mut agent(
        ["check", "--output", "json", "--pid", &site.pid().to_string()].iter().chain(&other),
    )?)?;
    let report: CheckReport =
        serde_json::from_str(&checked.stdout).with_context(|| format!("{checked:?}"))?;
    assert!(report.ready, "{report:?}");
    assert!(report.warnings.iter().any(|warning| warning.contains("httpfault_steer")), "{report:?}");
    drop(first);
    Ok(())
}

/// The application's process ends and comes back, as under a supervisor inside the container: the fault stays on, also
/// while nobody would listen.
#[test]
fn the_application_restarts_inside_its_container() -> Result<()> {
    let site = Site::take_restarting("restart")?;
    let agent = site.inject(&experiment("restart"), &[])?;
    let servers = || -> Result<Vec<i32>> {
        let parent = site.pid().cast_signed();
        let all = all_processes().context("listing processes")?.flatten();
        let child = all.filter(|process| process.stat().is_ok_and(|stat| stat.ppid == parent));
        Ok(child.map(|process| process.pid).collect())
    };
    let before = servers()?;
    for pid in &before {
        kill(Pid::from_raw(*pid), Signal::SIGKILL)?;
    }
    assert_eq!(seen(&site, site.v4())?, (503, false));
    let restarted = || Ok(servers()?.iter().any(|pid| !before.contains(pid)));
    wait::until("the application to be started again", PATIENCE, restarted)?;
    assert_eq!(seen(&site, site.v4())?, (503, false));
    assert_eq!(agent.terminate()?.target()?.counters.faulted, 2);
    wait::until("the application to answer", PATIENCE, || {
        Ok(seen(&site, site.v4()).is_ok_and(|seen| seen == (200, true)))
    })?;
    Ok(())
}
