//! What becomes of connections that clients held when the fault started.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use httpfault_common::contract::{Event, RemoveReport, RemovedReason};
use nix::sys::signal::Signal;

use super::{Looker, Seen, expect_fault, expect_nothing_left, pooled, works};
use crate::{
    agent::{self, Agent},
    finding::{Feature, Host, Outcome},
    http::Broken,
    site::Site,
};

/// `drain`, ended by `remove --all`.
pub(super) fn drain(looker: &mut Looker<'_>) -> Result<()> {
    let mut idle = pooled(looker.site)?;
    let mut agent = Agent::inject(looker.site, "drain", &["--existing-connections", "drain"])?;
    let injected = Instant::now();
    looker.look(Feature::Drain, |site| {
        match idle.end() {
            Broken::Closed => {}
            broken @ (Broken::Reset | Broken::Other(_)) => {
                bail!("the pooled connection did not end in order: {broken}")
            }
        }
        let took = injected.elapsed();
        expect_fault(site)?;
        works(format!("closed after {:.1} s", took.as_secs_f64()))
    })?;
    looker.look(Feature::Remove, |site| {
        let (report, code): (RemoveReport, i32) = agent::ask(site, &["remove", "--all"])?;
        ensure!(code == 0 && report.removed.len() == 1, "exit code {code}: {report:?}");
        let (removed, code) = agent.ended()?;
        ensure!(code == 0 && removed.reason == RemovedReason::Request, "exit code {code}: {removed:?}");
        site.expect_real()?;
        expect_nothing_left(site, "drain")?;
        works(format!("{:?}", report.removed[0].how))
    })
}

/// `reset`; where the host can't, it has to be refused without a trace.
pub(super) fn reset(looker: &mut Looker<'_>) -> Result<()> {
    looker.look(Feature::Reset, |site| match site.host {
        Host::Full => reset_works(site),
        Host::LegacyCgroups | Host::NoClassifier => reset_is_refused(site),
    })
}

fn reset_works(site: &Site) -> Result<Seen> {
    let mut held = pooled(site)?;
    let mut agent = Agent::inject(site, "reset", &["--existing-connections", "reset"])?;
    match held.get() {
        Err(Broken::Reset) => {}
        other => bail!("the pooled connection was not reset: {other:?}"),
    }
    expect_fault(site)?;
    agent.signal(Signal::SIGTERM)?;
    let (removed, code) = agent.ended()?;
    let reset: u64 = removed.targets.iter().map(|target| target.counters.existing_reset).sum();
    ensure!(code == 130 && reset == 1, "exit code {code}: {removed:?}");
    site.expect_real()?;
    expect_nothing_left(site, "reset")?;
    works("1 connection")
}

fn reset_is_refused(site: &Site) -> Result<Seen> {
    let mut held = pooled(site)?;
    let mut agent = Agent::start(site, "reset", &["--existing-connections", "reset"])?;
    let why = match agent.event()? {
        Event::Refused(report) => report.problems.first().map(ToString::to_string),
        Event::Removed(removed) => {
            ensure!(removed.reason == RemovedReason::InjectionFailed, "{removed:?}");
            ensure!(removed.left_behind.is_empty(), "left behind: {:?}", removed.left_behind);
            removed.targets.into_iter().find_map(|target| target.error).map(|problem| problem.to_string())
        }
        other @ (Event::Injected(_) | Event::AlreadyRunning(_)) => bail!("it was not refused: {other:?}"),
    };
    let code = agent.wait()?.code();
    ensure!(code == Some(1), "exit code {code:?}");
    let answer = held.get().context("on the pooled connection")?;
    ensure!(answer.is_real(), "the pooled connection was answered {answer:?}");
    site.expect_real()?;
    expect_nothing_left(site, "reset")?;
    Ok((Outcome::Refused, why.context("no reason was told")?))
}
