//! `perf`, from samples to a picture.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use httpfault_tests::command::output;
use inferno::{
    collapse::{Collapse, perf::Folder},
    flamegraph::{self, Options},
};
use tempfile::NamedTempFile;

/// Samples of each core a second: no divisor of the tick.
const FREQUENCY: &str = "1999";
/// How the names of the agent's processes begin.
const AGENT: &str = "httpfault-";
/// Frames that take less are not drawn, percent.
const LEAST_WIDTH: f64 = 0.2;

/// The samples of one recording.
#[derive(Debug)]
pub(super) struct Recorded(NamedTempFile);

/// Takes samples of the whole machine while the work lasts.
pub(super) fn record(work: impl FnOnce() -> Result<()>) -> Result<Recorded> {
    let samples = NamedTempFile::new().context("creating a file for perf's samples")?;
    let mut perf = Command::new("perf");
    perf.args(["record", "--quiet", "--all-cpus", "--event", "cpu-clock", "--freq", FREQUENCY, "-g"]);
    // It takes samples for as long as this program runs, which is until its input ends.
    perf.arg("--output").arg(samples.path()).args(["--", "cat"]);
    let perf = perf.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let running = perf.spawn().context("starting perf, of Debian's package linux-perf")?;
    let done = work();
    finish(running)?;
    done.map(|()| Recorded(samples))
}

/// Lets it write its file.
fn finish(mut perf: Child) -> Result<()> {
    drop(perf.stdin.take());
    let output = perf.wait_with_output().context("waiting for perf")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "perf ended with {}: {}", output.status, said.trim());
    Ok(())
}

impl Recorded {
    /// Of the agent's processes.
    pub(super) fn flame_graph(&self, title: &str) -> Result<String> {
        let folded = self.folded()?;
        let of_the_agent: Vec<&str> = folded.lines().filter(|line| line.starts_with(AGENT)).collect();
        ensure!(!of_the_agent.is_empty(), "none of perf's samples is of the agent");
        let mut options = Options::default();
        options.title = format!("httpfault-agent: {title}");
        options.count_name = "ns".to_owned();
        options.min_width = LEAST_WIDTH;
        options.no_javascript = true;
        // The same function has the same colour in all graphs.
        options.hash = true;
        let mut svg = Vec::new();
        flamegraph::from_lines(&mut options, of_the_agent, &mut svg).context("drawing a flame graph")?;
        String::from_utf8(svg).context("a flame graph that is no text")
    }

    /// One line for each stack.
    fn folded(&self) -> Result<String> {
        let stacks = output(Command::new("perf").args(["script", "--input"]).arg(self.0.path()))?;
        let mut folded = Vec::new();
        Folder::default().collapse(stacks.as_bytes(), &mut folded).context("reading the stacks of perf")?;
        String::from_utf8(folded).context("stacks that are no text")
    }
}
