//! One fault, watched by a client that asks all the time, on a connection for each request.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use httpfault_tests::{
    load::{Load, Outcome, Plan, Style},
    netns::Namespace,
};

/// Between two requests: what the times below can be wrong by.
const PAUSE: Duration = Duration::from_micros(200);
/// Answers that are waited for before and after each change.
const ANSWERS: usize = 20;

/// What is left to do when nobody watches any more.
pub(super) type End = Box<dyn FnOnce() -> Result<()>>;

/// What the client saw, milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// From the start to the first faulted response.
    pub(super) on: f64,
    /// From the end to the last faulted response.
    pub(super) off: f64,
    /// From the end to the application's first answer to a request that was sent after it.
    pub(super) real: f64,
    pub(super) lost: usize,
}

/// Turns a fault on and off before the client's eyes.
pub(super) fn watch<F>(
    client: &Namespace,
    to: SocketAddr,
    on: impl FnOnce() -> Result<F>,
    off: impl FnOnce(F) -> Result<End>,
) -> Result<Seen> {
    let load = Load::start(client, Plan::new(to, 1, Style::Close).pause(PAUSE));
    load.await_real(ANSWERS)?;
    let exec = Instant::now();
    let fault = on()?;
    load.await_faults(ANSWERS)?;
    let ended = Instant::now();
    let rest = off(fault)?;
    load.await_real(ANSWERS)?;
    let tally = load.stop()?;
    rest()?;
    let after = tally.sent_after(ended);
    let since = |then: Instant, time: Instant| time.saturating_duration_since(then).as_secs_f64() * 1000.0;
    Ok(Seen {
        on: since(exec, tally.first(Outcome::Fault).context("no fault was seen")?),
        off: since(ended, tally.last(Outcome::Fault).context("no fault was seen")?),
        real: since(ended, after.first(Outcome::Real).context("the application was not seen again")?),
        lost: tally.lost().len(),
    })
}
