//! What the programs cost on this machine.
//!
//! `bench` alone measures the agent beside what else answers with a fault, and writes docs/benchmarks.md. `bench scale`
//! and `bench abort` measure the controller.

mod data_path;
mod results;
mod size;

mod figures;
mod goals;

mod contenders;
mod loads;

mod bystander;
mod download;
mod flames;
mod memory;
mod moments;
mod rounds;

mod page;

mod scale;

use std::{
    fs,
    io::{Write, stdout},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

use results::Results;
use size::Size;

/// Measures the agent, or the controller.
#[derive(Debug, Parser)]
struct Args {
    /// What to measure
    #[arg(value_enum, default_value = "data-path")]
    what: What,
    /// A look of three minutes instead of a measurement of a quarter of an hour
    #[arg(long)]
    quick: bool,
    /// Directory in which `benchmarks.md` and its plots are written; without it, the page is printed
    #[arg(long, value_name = "DIRECTORY")]
    write: Option<PathBuf>,
    /// Write what was measured as JSON
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// Take what was kept, and measure only what `--only` names
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    #[command(flatten)]
    beside: data_path::Beside,
    /// Only these parts of the data path (repeatable)
    #[arg(long, value_enum)]
    only: Vec<data_path::Part>,
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
    /// The agent: requests, times, memory
    DataPath,
    /// The controller: a fault on thousands of simulated tasks
    Scale,
    /// The controller: the end of a fault after SIGTERM, on idle and on busy hosts
    Abort,
}

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
    let results = match &args.from {
        Some(file) => data_path::again(read(file)?, &args.only, &args.beside)?,
        None => {
            let size = if args.quick { Size::quick() } else { Size::full() };
            data_path::measure(size, &args.only, &args.beside)?
        }
    };
    if let Some(file) = &args.keep {
        let text = serde_json::to_string(&results).context("writing the results as JSON")?;
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    match &args.write {
        Some(directory) => page::write(&results, directory),
        None => print(&page::text(&results)),
    }
}

fn read(file: &Path) -> Result<Results> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} holds no results", file.display()))
}

fn print(text: &str) -> Result<()> {
    stdout().write_all(text.as_bytes()).context("writing to standard output")
}
