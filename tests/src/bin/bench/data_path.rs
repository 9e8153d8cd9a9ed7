//! The measurement of the agent from start to end, part by part.

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
    time::Instant,
};

use anyhow::{Context, Result};
use clap::ValueEnum;
use flate2::{Compression, write::GzEncoder};
use httpfault_tests::{
    agent::binary,
    command::said,
    machine::{self, Machine},
    package,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::{bystander, contenders, download, flames, memory, moments, results::Results, rounds, size::Size};

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub(crate) enum Part {
    /// Responses: CPU, latency
    Responses,
    /// Requests that go to the application
    Proxied,
    /// A large body
    Download,
    /// Services that no fault is meant for
    Bystander,
    /// Memory with open connections
    Memory,
    /// How soon a fault is on and off
    Moments,
    /// The same of containers and tasks, with a Docker engine
    Containers,
    /// Where the agent's time goes in what missed a goal
    Flames,
}

/// Open files that this needs: ten thousand connections, and then some.
const FILES: u64 = 12_000;

/// What is measured beside the agent as it is handed out.
#[derive(Debug, clap::Args)]
pub(crate) struct Beside {
    /// mitmproxy too, from PyPI
    #[arg(long)]
    mitmproxy: bool,
    /// The agent with the names of its functions, for flame graphs of what misses a goal
    #[arg(long, value_name = "FILE")]
    symbols: Option<PathBuf>,
}

/// Measures these parts, or all. A part that fails is named in the results and costs no other.
pub(crate) fn measure(size: Size, only: &[Part], beside: &Beside) -> Result<Results> {
    raise_limit()?;
    let agent = binary()?;
    if agent.components().any(|part| part.as_os_str() == "debug") {
        eprintln!("measuring a debug build, {}: use `cargo xtask bench`", agent.display());
    }
    let mut results = Results {
        machine: machine::description()?,
        programs: versions()?,
        size: size.clone(),
        agent_bytes: agent_bytes()?,
        ..Results::default()
    };
    for part in Part::value_variants() {
        if !only.is_empty() && !only.contains(part) {
            continue;
        }
        let start = Instant::now();
        eprintln!("{part:?}");
        if let Err(error) = one(*part, &size, beside, &mut results) {
            eprintln!("{part:?} failed: {error:?}");
            results.failures.push(format!("{part:?}: {error:#}"));
        }
        eprintln!("{part:?} took {:.0} s", start.elapsed().as_secs_f64());
    }
    Ok(results)
}

/// What was measured earlier, these parts of it anew.
pub(crate) fn again(mut results: Results, only: &[Part], beside: &Beside) -> Result<Results> {
    let size = results.size.clone();
    for part in only {
        results.forget(*part);
        one(*part, &size, beside, &mut results)?;
        results.later.push(*part);
    }
    Ok(results)
}

fn one(part: Part, size: &Size, beside: &Beside, results: &mut Results) -> Result<()> {
    if part == Part::Containers {
        // The instance takes the machine by itself.
        return moments::containers(size, results);
    }
    let _machine = Machine::take()?;
    match part {
        Part::Responses => rounds::run(&contenders::faulting(beside.mitmproxy)?, size, results),
        Part::Proxied => rounds::run(&contenders::proxying()?, size, results),
        Part::Download => download::measure(size, results),
        Part::Bystander => bystander::measure(size, results),
        Part::Memory => memory::measure(size, results),
        Part::Moments => moments::measure(size, results),
        Part::Containers => Ok(()),
        Part::Flames => beside.symbols.iter().try_for_each(|agent| flames::measure(agent, size, results)),
    }
}

/// This process's, which the servers inherit: as many open files as it may have.
fn raise_limit() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    if maximum.is_some_and(|most| most < FILES) {
        eprintln!(
            "at most {} open files, {FILES} are wanted: some numbers may be missing",
            maximum.unwrap_or(0)
        );
    }
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .context("raising the limit of open files")
}

/// Of the agent's file, and of the same compressed as the controller delivers it.
fn agent_bytes() -> Result<[u64; 2]> {
    let path = binary()?;
    let mut file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
    let mut packed = GzEncoder::new(Counted::default(), Compression::best());
    let plain = io::copy(&mut file, &mut packed).context("compressing the agent")?;
    Ok([plain, packed.finish().context("compressing the agent")?.0])
}

#[derive(Default)]
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What each program calls itself.
fn versions() -> Result<Vec<String>> {
    let mut nginx = std::process::Command::new(package::nginx()?);
    let mut all = vec![said(nginx.arg("-v"))?.stderr];
    all.push(said(contenders::haproxy::command()?.arg("-v"))?.stdout);
    all.push(said(std::process::Command::new("wrk").arg("-v"))?.stdout);
    all.push(said(std::process::Command::new("h2load").arg("--version"))?.stdout);
    let first = |text: &String| text.lines().next().unwrap_or_default().trim().to_owned();
    Ok(all.iter().map(first).collect())
}
