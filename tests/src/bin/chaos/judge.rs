//! Which lost requests are the harm's.
//!
//! A request is lost when it got neither the fault nor the application's own answer, as a whole. Some harm takes requests
//! with it, and this says which: those that were under way at some moment between two, and at most so many of each
//! client. Everything else that is lost is a failure.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use httpfault_tests::{
    load::{Outcome, Sample, Tally},
    wire::Broken,
};

/// How long after a process was killed its sockets may still be there.
pub(crate) const KILLED: Duration = Duration::from_millis(500);

/// What the harm may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
    /// Requests of each client.
    pub(crate) each: usize,
}

impl Cost {
    /// What a killed process had in its hands: one request of each client.
    pub(crate) fn of_a_kill(moment: Instant) -> Self {
        Self { from: moment, until: moment + KILLED, each: 1 }
    }

    fn covers(&self, sample: &Sample) -> bool {
        sample.sent <= self.until && sample.ended >= self.from
    }
}

/// How many requests were lost; an error if that was not the harm's doing.
pub(crate) fn lost(lost: &[&Sample], clients: usize, costs: &[Cost]) -> Result<usize> {
    let unexplained: Vec<_> =
        lost.iter().filter(|sample| !costs.iter().any(|cost| cost.covers(sample))).collect();
    ensure!(unexplained.is_empty(), "lost, and not by the harm ({costs:?}): {unexplained:?}");
    let most =
        costs.iter().fold(0_usize, |most, cost| most.saturating_add(cost.each.saturating_mul(clients)));
    ensure!(lost.len() <= most, "{} lost, at most {most} by the harm: {lost:?}", lost.len());
    Ok(lost.len())
}

/// Requests that a reset has lost, and others.
pub(crate) fn ended(tally: &Tally) -> (Vec<&Sample>, Vec<&Sample>) {
    tally.lost().into_iter().partition(|sample| sample.outcome == Outcome::Broken(Broken::Reset))
}

/// No fault after the end.
pub(crate) fn over(tally: &Tally, end: Instant) -> Result<()> {
    let after = tally.sent_after(end);
    ensure!(after.count(Outcome::Fault) == 0, "a fault after the end: {}", after.summary());
    ensure!(after.count(Outcome::Real) > 0, "no real answer after the end: {}", after.summary());
    Ok(())
}
