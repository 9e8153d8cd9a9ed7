//! Before a run, its ordinary end, and the ends it did not choose.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use httpfault_common::contract::{CheckReport, RemoveReport, RemovedReason};
use nix::sys::signal::Signal;

use super::{Looker, STATUS, Seen, expect_fault, expect_nothing_left, pooled, works};
use crate::{
    agent::{self, Agent},
    finding::{Feature, Host},
    http::REAL,
    site::Site,
    wait,
};

/// How long a stopped agent may hold the traffic.
const LEASE: Duration = Duration::from_secs(3);
/// How long one look at the traffic may take while the agent is stopped.
const LOOK: Duration = Duration::from_millis(250);

pub(super) fn check(looker: &mut Looker<'_>) -> Result<()> {
    looker.look(Feature::Check, |site| {
        let pid = site.target_pid().to_string();
        let (report, code): (CheckReport, i32) = agent::ask(site, &["check", "--pid", &pid])?;
        ensure!(code == 0 && report.ready, "exit code {code}: {report:?}");
        let warned = report.warnings.iter().any(|warning| warning.contains("cgroup v1"));
        ensure!(warned == (site.host == Host::LegacyCgroups), "warnings: {:?}", report.warnings);
        works(if warned { "ready, with a warning about cgroup v1" } else { "ready" })
    })
}

/// The application is called, and the run ends by itself.
pub(super) fn forward(looker: &mut Looker<'_>) -> Result<()> {
    let arguments = ["--modify-response-body", "false", "--duration", "5"];
    let mut agent = Agent::inject(looker.site, "forward", &arguments)?;
    looker.look(Feature::Forward, |site| {
        let answer = site.ask(site.v4())?;
        ensure!(answer.is_fault(STATUS) && answer.body == REAL, "answered {answer:?}");
        works(format!("{STATUS} with the application's body"))
    })?;
    looker.look(Feature::Deadline, |site| {
        let (removed, code) = agent.ended()?;
        ensure!(code == 0 && removed.reason == RemovedReason::Deadline, "exit code {code}: {removed:?}");
        site.expect_real()?;
        expect_nothing_left("forward")?;
        works("exit code 0")
    })
}

/// With connections that the keeper has begun with.
pub(super) fn kill(looker: &mut Looker<'_>) -> Result<()> {
    looker.look(Feature::Kill, |site| {
        let mut held = pooled(site)?;
        let mut agent = Agent::inject(site, "kill", &["--existing-connections", "reset"])?;
        expect_fault(site)?;
        agent.signal(Signal::SIGKILL)?;
        agent.wait()?;
        site.expect_real().context("right after SIGKILL")?;
        let swept = expect_nothing_left("kill")?;
        let answer = held.get().context("on the pooled connection")?;
        ensure!(answer.is_real(), "the pooled connection was answered {answer:?}");
        works(format!("swept {:.1} s later", swept.as_secs_f64()))
    })
}

/// A stopped agent loses the traffic by itself; `remove` then ends what is left of it.
pub(super) fn stop(looker: &mut Looker<'_>) -> Result<()> {
    looker.look(Feature::Stop, stopped)
}

fn stopped(site: &Site) -> Result<Seen> {
    let mut agent = Agent::inject(site, "stop", &["--existing-connections", "keep"])?;
    expect_fault(site)?;
    agent.signal(Signal::SIGSTOP)?;
    let start = Instant::now();
    wait::until("the application to answer", 2 * LEASE, || site.is_real_now(LOOK))?;
    let took = start.elapsed();
    ensure!(took <= LEASE + LOOK, "the application answered only after {:.1} s", took.as_secs_f64());
    let (report, code): (RemoveReport, i32) = agent::ask(site, &["remove", "--all"])?;
    ensure!(code == 0, "remove: exit code {code}: {report:?}");
    agent.wait()?;
    site.expect_real()?;
    expect_nothing_left("stop")?;
    works(format!("after {:.1} s", took.as_secs_f64()))
}
