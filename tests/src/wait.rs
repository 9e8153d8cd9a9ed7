//! Waiting for something that can be looked at but sends no event.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Looks until `done` says so; an error after `limit` names what was waited for and how long.
pub fn until(what: &str, limit: Duration, mut done: impl FnMut() -> Result<bool>) -> Result<Duration> {
    let start = Instant::now();
    while !done()? {
        if start.elapsed() > limit {
            bail!("waited {limit:?} for: {what}");
        }
        pause(Duration::from_millis(10));
    }
    Ok(start.elapsed())
}

/// Lets time pass: between two looks, or where the passing of time is what is tested (a rate, a lease).
#[expect(clippy::disallowed_methods, reason = "test threads, which block no runtime")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}
