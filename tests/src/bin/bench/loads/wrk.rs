//! HTTP/1 load.

use std::fs;

use anyhow::{Context, Result};
use httpfault_tests::{command::output, netns::Namespace};

use super::{Seen, on_core};
use crate::results::Style;

/// Runs once, at the end; wrk by itself shows no 99.9th percentile.
const REPORT: &str = r#"
done = function(summary, latency)
    local errors = summary.errors
    io.write(string.format("seen %d %d %d %d %d %d %d\n", summary.requests, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout, summary.duration,
        latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"#;

pub(super) fn run(client: &Namespace, url: &str, style: Style, seconds: u64) -> Result<Seen> {
    let directory = tempfile::tempdir().context("creating a directory for wrk's script")?;
    let script = directory.path().join("report.lua");
    fs::write(&script, REPORT).context("writing wrk's script")?;
    let mut wrk = on_core(client, "wrk");
    wrk.args(["-t", "1", "-c", &style.connections().to_string(), "-d", &format!("{seconds}s")]);
    wrk.arg("-s").arg(script);
    if style == Style::Close {
        wrk.args(["-H", "Connection: close"]);
    }
    let said = output(wrk.arg(url))?;
    let line = said.lines().find_map(|line| line.strip_prefix("seen "));
    let numbers: Vec<f64> =
        line.unwrap_or_default().split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [responses, faults, lost, micros, p50, p99, p999] = numbers[..] else {
        anyhow::bail!("wrk said something else:\n{said}")
    };
    Ok(Seen { responses, faults, lost, seconds: micros / 1e6, p50, p99, p999 })
}
