//! What the data path costs, on this machine, as a Markdown table: how fast a fault comes and goes, what memory it
//! takes, and what a response costs beside nginx behind an iptables REDIRECT, the way the same fault is usually made.
//! `bench scale` measures the controller instead.

mod compare;
mod moments;
mod scale;

use std::{
    io::{Write, stdout},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use httpfault_tests::{
    agent::binary,
    command::installed,
    machine::{self, Machine},
};

/// Measures the release agent, or the controller.
#[derive(Debug, Parser)]
struct Args {
    /// What to measure
    #[arg(value_enum, default_value = "data-path")]
    what: What,
    /// Length of each load, seconds
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Faults that are injected and removed for the times
    #[arg(long, default_value_t = 10)]
    faults: usize,
    /// Open connections for the memory
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    /// Instances: 400 for `scale`, 50 for `abort` unless it is given
    #[arg(long)]
    hosts: Option<usize>,
    /// Tasks on each of them
    #[arg(long, default_value_t = 5)]
    tasks_per_host: usize,
    /// How long the fault is on for `scale`, seconds
    #[arg(long, default_value_t = 60)]
    duration: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// The agent: times, memory, requests
    DataPath,
    /// The controller: a fault on thousands of simulated tasks
    Scale,
    /// The controller: the end of a fault after SIGTERM, on idle and on busy hosts
    Abort,
}

/// Sockets that a busy namespace has in TIME_WAIT.
const TIME_WAIT: usize = 50_000;

/// One row: what was measured, and the numbers.
type Row = (String, String);

fn main() -> Result<()> {
    let args = Args::parse();
    match args.what {
        What::DataPath => data_path(&args),
        What::Scale => {
            let Args { hosts, tasks_per_host, duration: seconds, .. } = args;
            scale::measure(&scale::Size { hosts: hosts.unwrap_or(400), tasks_per_host, seconds })
        }
        What::Abort => {
            let Args { hosts, tasks_per_host, .. } = args;
            scale::abort::measure(&scale::Size { hosts: hosts.unwrap_or(50), tasks_per_host, seconds: 300 })
        }
    }
}

fn data_path(args: &Args) -> Result<()> {
    let _machine = Machine::take()?;
    let agent = binary()?;
    if agent.components().any(|part| part.as_os_str() == "debug") {
        eprintln!("measuring a debug build, {}: use `cargo xtask bench`", agent.display());
    }
    let mut rows = moments::injection_and_removal(args.faults)?;
    for waiting in [0, TIME_WAIT] {
        rows.push(moments::injection(2 * args.faults, waiting)?);
    }
    rows.extend(moments::memory(args.connections)?);
    print(&format!("{}\n\n", machine::description()?))?;
    print("| measured | result |\n| --- | --- |\n")?;
    rows.iter().try_for_each(|(what, result)| print(&format!("| {what} | {result} |\n")))?;

    print("\n| server (one core; the load has another) | connections | responses/s | CPU per response |\n")?;
    print("| --- | --- | ---: | ---: |\n")?;
    let load = compare::Load::new(Duration::from_secs(args.seconds));
    load.agent()?.into_iter().try_for_each(|row| print(&row.to_string()))?;
    if installed("iptables") {
        load.nginx_behind_redirect()?.into_iter().try_for_each(|row| print(&row.to_string()))?;
    } else {
        eprintln!("SKIPPED: nginx behind an iptables REDIRECT, because iptables is not installed");
    }
    Ok(())
}

fn print(text: &str) -> Result<()> {
    stdout().write_all(text.as_bytes()).context("writing to standard output")
}
