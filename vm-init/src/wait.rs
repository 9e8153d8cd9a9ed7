//! Waiting for something that can be looked at but sends no event.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Looks until `done` says so, and returns how long that took; an error after `limit` names what was waited for.
pub(crate) fn until(what: &str, limit: Duration, mut done: impl FnMut() -> Result<bool>) -> Result<Duration> {
    let start = Instant::now();
    while !done()? {
        if start.elapsed() > limit {
            bail!("waited {limit:?} for {what}");
        }
        pause(Duration::from_millis(10));
    }
    Ok(start.elapsed())
}

#[expect(clippy::disallowed_methods, reason = "no runtime is blocked: this program has threads")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
