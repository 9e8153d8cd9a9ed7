//! What becomes of connections that clients held when the fault started.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use httpfault_common::contract::{Counters, RemoveReport, RemovedReason};
use nix::sys::signal::Signal;

use super::{Looker, STATUS, Seen, expect_fault, expect_nothing_left, pooled, works};
use crate::{
    agent::{self, Agent},
    finding::{Feature, Outcome},
    http::Broken,
    site::Site,
};

/// `drain`, ended by `remove --all`.
pub(super) fn drain(looker: &mut Looker<'_>) -> Result<()> {
    let mut held = pooled(looker.site)?;
    let mut agent = Agent::inject(looker.site, "drain", &["--existing-connections", "drain"])?;
    looker.look(Feature::Drain, |site| {
        let answer = held.get().context("on the pooled connection")?;
        ensure!(answer.is_real(), "the pooled connection was answered {answer:?}");
        let answered = Instant::now();
        match held.end() {
            Broken::Closed => {}
            broken @ (Broken::Reset | Broken::Other(_)) => {
                bail!("the pooled connection did not end in order: {broken}")
            }
        }
        let took = answered.elapsed();
        expect_fault(site)?;
        works(format!("ended {:.1} s after its next answer", took.as_secs_f64()))
    })?;
    looker.look(Feature::Remove, |site| {
        let (report, code): (RemoveReport, i32) = agent::ask(site, &["remove", "--all"])?;
        ensure!(code == 0 && report.removed.len() == 1, "exit code {code}: {report:?}");
        let (removed, code) = agent.ended()?;
        ensure!(code == 0 && removed.reason == RemovedReason::Request, "exit code {code}: {removed:?}");
        site.expect_real()?;
        expect_nothing_left("drain")?;
        works(format!("{:?}", report.removed[0].how))
    })
}

/// `reset`, at the next request.
pub(super) fn reset(looker: &mut Looker<'_>) -> Result<()> {
    looker.look(Feature::Reset, reset_works)
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
    expect_nothing_left("reset")?;
    works("1 connection")
}

/// `take`: the pooled connection gets the fault, and then is the application's again.
pub(super) fn take(looker: &mut Looker<'_>) -> Result<()> {
    looker.look(Feature::Take, take_works)
}

fn take_works(site: &Site) -> Result<Seen> {
    let mut held = pooled(site)?;
    let mut agent = Agent::inject(site, "take", &["--existing-connections", "take"])?;
    let answer = held.get().context("on the pooled connection")?;
    // Where it can't be taken it is drained, which takes until after its answer.
    let drained = answer.is_real().then(|| held.end());
    agent.signal(Signal::SIGTERM)?;
    let (removed, code) = agent.ended()?;
    ensure!(code == 130, "exit code {code}: {removed:?}");
    expect_nothing_left("take")?;
    if let Some(end) = drained {
        let in_order = matches!(end, Broken::Closed) && !removed.warnings.is_empty();
        ensure!(in_order, "it was not taken, and ended by {end}: {removed:?}");
        return Ok((Outcome::Warned, removed.warnings.join("; ")));
    }
    ensure!(answer.is_fault(STATUS), "the pooled connection was answered {answer:?}");
    let counted =
        |of: fn(&Counters) -> u64| removed.targets.iter().map(|target| of(&target.counters)).sum::<u64>();
    let taken = (counted(|all| all.existing_taken), counted(|all| all.existing_given_back));
    ensure!(taken == (1, 1), "{removed:?}");
    let after = held.get().context("on the connection that was given back")?;
    ensure!(after.is_real(), "the connection that was given back was answered {after:?}");
    works("answered in place, given back")
}
