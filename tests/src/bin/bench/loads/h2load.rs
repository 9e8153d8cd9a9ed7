//! HTTP/2 load, with prior knowledge.

use std::fs;

use anyhow::{Context, Result};
use httpfault_tests::{command::output, netns::Namespace};

use super::{Seen, on_core};

pub(super) fn run(client: &Namespace, url: &str, streams: usize, seconds: u64) -> Result<Seen> {
    let directory = tempfile::tempdir().context("creating a directory for h2load's log")?;
    // A line for each request: when, status, microseconds. By itself h2load shows no percentile.
    let log = directory.path().join("requests");
    let mut h2load = on_core(client, "h2load");
    h2load.args(["-t", "1", "-c", "1", "-m", &streams.to_string(), "-D", &seconds.to_string()]);
    let said = output(h2load.arg(format!("--log-file={}", log.display())).arg(url))?;
    let log = fs::read_to_string(&log).context("reading h2load's log")?;
    let mut times = Vec::new();
    let (mut faults, mut lost) = (0.0, 0.0);
    for line in log.lines() {
        let mut words = line.split_whitespace().skip(1);
        let (status, time) = (words.next(), words.next());
        match (
            status.and_then(|word| word.parse::<i32>().ok()),
            time.and_then(|word| word.parse::<f64>().ok()),
        ) {
            (Some(status @ 100..), Some(time)) => {
                times.push(time);
                faults += f64::from(u8::from(status >= 400));
            }
            _ => lost += 1.0,
        }
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times.get((share * times.len() as f64) as usize).copied().unwrap_or_default();
    let seconds = finished(&said).with_context(|| format!("h2load said something else:\n{said}"))?;
    let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
    Ok(Seen { responses: times.len() as f64, faults, lost, seconds, p50, p99, p999 })
}

/// `finished in 2.00s, 50000.00 req/s, 4.0MB/s`
fn finished(said: &str) -> Option<f64> {
    let line = said.lines().find_map(|line| line.strip_prefix("finished in "))?;
    let time = line.split(',').next()?;
    match time.strip_suffix("ms") {
        Some(milliseconds) => Some(milliseconds.parse::<f64>().ok()? / 1000.0),
        None => time.strip_suffix('s')?.parse().ok(),
    }
}
