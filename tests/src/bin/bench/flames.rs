//! Where the agent's time goes in what missed a goal, as flame graphs.

mod perf;

use std::{path::Path, process::Command};

use anyhow::{Context, Result};
use httpfault_tests::{
    agent::{Agent, experiment, run_args},
    site::Site,
};

use crate::{
    contenders::{agent, site},
    goals, loads,
    moments::busy,
    results::{Flame, Results, Subject},
    size::Size,
};

/// Length of each load, seconds.
const SECONDS: u64 = 4;
/// Faults that are put on and taken off for a graph: each has only some dozen samples.
const FAULTS: usize = 40;

/// One of each subject that missed a goal.
pub(crate) fn measure(symbols: &Path, size: &Size, results: &mut Results) -> Result<()> {
    for of in goals::missed(results) {
        let svg = one(of, symbols, size).with_context(|| format!("a flame graph of {}", of.title()))?;
        results.flames.push(Flame { of, svg });
    }
    Ok(())
}

fn one(of: Subject, symbols: &Path, size: &Size) -> Result<String> {
    let recorded = match of {
        Subject::Response(task, style) => {
            let contender = agent::of(symbols, task)?;
            perf::record(|| loads::measure(&contender, style, SECONDS).map(drop))?
        }
        Subject::Start => starts(symbols, &site("idle")?)?,
        Subject::BusyStart => {
            let site = site("busy")?;
            let _open = busy::fill(&site, size)?;
            starts(symbols, &site)?
        }
    };
    recorded.flame_graph(&of.title())
}

fn starts(symbols: &Path, site: &Site) -> Result<perf::Recorded> {
    perf::record(|| {
        for _ in 0..FAULTS {
            let mut start = Command::new(symbols);
            start.args(run_args(["--pid", &site.pid().to_string()], &experiment("flame"), &[]));
            Agent::inject(start)?.0.terminate()?;
        }
        Ok(())
    })
}
