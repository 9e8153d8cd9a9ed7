//! A fault from start to end, with real containers, real clients, the real controller and the real agent: 200, then 503,
//! then 200 again, and nothing is left. Every line that it shows is checked; one that is wrong makes it end with exit
//! code 1.

mod experiment;
mod host;
mod show;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, ValueEnum};
use show::Show;

/// Shows a fault on real containers, from start to end.
#[derive(Debug, Parser)]
struct Args {
    /// What to show
    #[arg(value_enum, default_value = "experiment")]
    what: What,
    /// How long the fault is on, seconds
    #[arg(long, default_value_t = 5)]
    duration: u64,
    /// Status code of the fault
    #[arg(long, default_value_t = 503)]
    status_code: u16,
    /// Keep the picture of the timeline there too, as docs/timeline.svg is made
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// httpfault-ctl against simulated AWS APIs: plan, delivery of the agent over SSM, fault, removal, report
    Experiment,
    /// httpfault-agent by hand, on one container of this machine
    Host,
}

fn main() -> ExitCode {
    let mut show = Show::default();
    let args = Args::parse();
    let shown = match args.what {
        What::Experiment => experiment::demo(&args, &mut show),
        What::Host => host::demo(&args, &mut show),
    };
    if let Err(error) = shown {
        show.failed(&format!("{error:#}"));
    }
    show.verdict()
}
