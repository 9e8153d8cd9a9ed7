//! The load: one client program on a core of its own, and what it says.

mod h2load;
mod wrk;

use std::process::Command;

use anyhow::{Context, Result, ensure};
use httpfault_tests::{cgroup::Cgroup, netns::Namespace};

use crate::{
    contenders::{Contender, LOAD_CORE},
    results::{Sample, Style, Task, Who},
};

/// What the client saw; times in microseconds.
#[derive(Clone, Copy, Debug)]
struct Seen {
    responses: f64,
    /// Of them with a status that is an error.
    faults: f64,
    lost: f64,
    seconds: f64,
    p50: f64,
    p99: f64,
    p999: f64,
}

/// Puts the load on a contender for so many seconds.
pub(crate) fn measure(contender: &Contender, style: Style, seconds: u64) -> Result<Sample> {
    let (sample, faults) =
        put(&contender.site.client, &contender.url(style), style, seconds, contender.cgroup())?;
    let share = faults / sample.responses;
    let expected = match (contender.who, contender.task) {
        (Who::Application, _) | (_, Task::Spare) => 0.0..=0.0,
        (_, Task::Fault | Task::Forward) => 1.0..=1.0,
        (_, Task::Half) => 0.4..=0.6,
    };
    ensure!(expected.contains(&share), "{share} of the answers were faults, not {expected:?}");
    Ok(sample)
}

/// Puts the load on a URL, and looks at what a cgroup used for it; tells how many answers were faults.
pub(crate) fn put(
    client: &Namespace,
    url: &str,
    style: Style,
    seconds: u64,
    cgroup: &Cgroup,
) -> Result<(Sample, f64)> {
    let before = cgroup.cpu()?;
    let seen = match style.streams() {
        Some(streams) => h2load::run(client, url, streams, seconds),
        None => wrk::run(client, url, style, seconds),
    };
    let seen = seen.with_context(|| format!("{} at {url}", style.name()))?;
    let used = cgroup.cpu()?.since(before);
    ensure!(seen.responses > 0.0, "{} at {url}: no answer at all", style.name());
    let each = |time: std::time::Duration| time.as_secs_f64() * 1e6 / seen.responses;
    let sample = Sample {
        responses: seen.responses,
        per_second: seen.responses / seen.seconds,
        user: each(used.user),
        kernel: each(used.kernel),
        p50: seen.p50,
        p99: seen.p99,
        p999: seen.p999,
        lost: seen.lost,
    };
    Ok((sample, seen.faults))
}

/// A program on the load's core, in the client's namespace.
fn on_core(client: &Namespace, program: &str) -> Command {
    let mut command = client.command("taskset");
    command.args(["-c", LOAD_CORE, program]);
    command
}
