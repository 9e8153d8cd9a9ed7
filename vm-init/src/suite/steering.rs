//! Who gets the fault and who does not, while one run is on.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use anyhow::{Context, Result, ensure};
use httpfault_common::contract::{Phase, StatusReport};
use nix::sys::signal::Signal;

use super::{Looker, STATUS, Seen, expect_nothing_left, pooled, works};
use crate::{
    agent::{self, Agent},
    finding::{Feature, Host, Outcome},
    site::{PORT, Site},
};

const EXPERIMENT: &str = "steering";
/// Instructions of one program that the verifier may have to look at. It gives up at a million.
const BUDGET: u64 = 2_500;

pub(super) fn look(looker: &mut Looker<'_>) -> Result<()> {
    let mut kept = pooled(looker.site)?;
    let mut agent = Agent::inject(looker.site, EXPERIMENT, &["--existing-connections", "keep"])?;

    looker.look(Feature::Inbound4, |site| inbound(site, site.v4()))?;
    looker.look(Feature::Inbound6, |site| inbound(site, site.v6()))?;
    looker
        .look(Feature::InTask4, |site| in_task(site, &[loopback(Ipv4Addr::LOCALHOST.into()), site.v4()]))?;
    looker.look(Feature::InTask6, |site| {
        let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
        in_task(site, &[loopback(Ipv6Addr::LOCALHOST.into()), site.v6(), loopback(mapped.into())])
    })?;
    looker.look(Feature::OtherCgroup, other_cgroup)?;
    looker.look(Feature::Keep, |_site| {
        let answer = kept.get().context("on the pooled connection")?;
        ensure!(answer.is_real(), "the pooled connection was answered {answer:?}");
        works("answered by the application")
    })?;
    looker.look(Feature::Status, status)?;
    looker.look(Feature::Verifier, |_site| verified(agent.pid()?))?;
    looker.look(Feature::Signal, |site| {
        agent.signal(Signal::SIGTERM)?;
        let (removed, code) = agent.ended()?;
        ensure!(code == 130, "exit code {code}: {removed:?}");
        site.expect_real()?;
        expect_nothing_left(EXPERIMENT)?;
        works("exit code 130")
    })
}

fn loopback(ip: IpAddr) -> SocketAddr {
    SocketAddr::new(ip, PORT)
}

fn inbound(site: &Site, to: SocketAddr) -> Result<Seen> {
    let answer = site.ask(to)?;
    ensure!(answer.is_fault(STATUS), "{to} answered {answer:?}");
    works(format!("{to} answered {}", answer.status))
}

/// Each destination gets the fault and keeps its name. Without cgroup v2 nobody inside gets it.
fn in_task(site: &Site, destinations: &[SocketAddr]) -> Result<Seen> {
    let legacy = site.host == Host::LegacyCgroups;
    for &to in destinations {
        let seen = site.ask_inside(&site.group, to)?;
        let right = if legacy { seen.answer.is_real() } else { seen.answer.is_fault(STATUS) };
        ensure!(right, "{to} answered {:?}", seen.answer);
        ensure!(seen.peer == to, "a client of {to} was told that its peer is {}", seen.peer);
    }
    if legacy {
        return Ok((Outcome::Warned, "the application answers clients inside".to_owned()));
    }
    works(destinations.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

fn other_cgroup(site: &Site) -> Result<Seen> {
    for to in [loopback(Ipv4Addr::LOCALHOST.into()), site.v4(), loopback(Ipv6Addr::LOCALHOST.into())] {
        let seen = site.ask_inside(&site.neighbour, to)?;
        ensure!(seen.answer.is_real(), "{to} answered {:?}", seen.answer);
    }
    works("answered by the application")
}

fn status(site: &Site) -> Result<Seen> {
    let (report, code): (StatusReport, i32) = agent::ask(site, &["status", "--experiment-id", EXPERIMENT])?;
    ensure!(code == 0, "exit code {code}");
    let fault = report.faults.first().context("status shows no fault")?;
    ensure!(fault.phase == Phase::On, "the phase is {:?}", fault.phase);
    let counters = &fault.targets.first().context("status shows no target")?.counters;
    ensure!(counters.connections_inbound >= 2, "{counters:?}");
    works(format!("{} inbound, {} in-task", counters.connections_inbound, counters.connections_in_task))
}

/// What the verifier had to look at, as the kernel tells of the descriptors of programs from 5.16 on (commit aba64c7da983).
fn verified(agent: i32) -> Result<Seen> {
    let descriptors = procfs::process::Process::new(agent)?.fd()?;
    let mut most: Option<u64> = None;
    for descriptor in descriptors {
        let about = fs::read_to_string(format!("/proc/{agent}/fdinfo/{}", descriptor?.fd))?;
        let count = about.lines().find_map(|line| line.strip_prefix("verified_insns:")?.trim().parse().ok());
        most = most.max(count);
    }
    let Some(most) = most else { return works("not told") };
    ensure!(most <= BUDGET, "{most} instructions of one program, {BUDGET} are in the budget");
    works(most.to_string())
}
