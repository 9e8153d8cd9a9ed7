//! The fault in the fault: one run of the agent after the other, under load, each with some harm done to it. After every
//! one nothing may be attached, nothing left, the application has to answer, and no request may be lost but by the harm
//! itself. What is done when comes from the seed alone, so a round can be repeated.

mod plan;
mod harm;
mod place;
mod round;
mod judge;
mod table;

use std::{
    io::{Write, stdout},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use httpfault_tests::{
    machine::{self, Machine},
    site::Site,
    wait,
};

use plan::Plan;
use table::Table;

/// Faults under load, while their parts are killed, stopped and starved.
#[derive(Debug, Parser)]
struct Arguments {
    /// What is done when
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many faults
    #[arg(long, default_value_t = 1000)]
    rounds: u64,
    /// The first of them: a failed round can be repeated alone
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Begin no round after so many seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// Go on after a round that failed
    #[arg(long)]
    keep_going: bool,
    /// After so many seconds the machine is free for a moment for tests that wait for it
    #[arg(long, default_value_t = 30)]
    turn: u64,
    /// Show what each round does
    #[arg(long)]
    verbose: bool,
}

/// How long it is free then.
const FREE: Duration = Duration::from_millis(50);

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    place::enter()?;
    let start = Instant::now();
    let mut site = Site::beside("chaos")?;
    site.keep_addresses()?;
    let (mut table, mut failed) = (Table::default(), 0);
    let mut turn = None;
    for number in arguments.first..arguments.first + arguments.rounds {
        if arguments.seconds.is_some_and(|limit| start.elapsed() > Duration::from_secs(limit)) {
            break;
        }
        let plan = Plan::of(arguments.seed, number);
        if arguments.verbose {
            eprintln!("{number}: {plan:?}");
        }
        if turn
            .as_ref()
            .is_some_and(|(began, _): &(Instant, Machine)| began.elapsed().as_secs() > arguments.turn)
        {
            turn = None;
            wait::pause(FREE);
        }
        if turn.is_none() {
            turn = Some((Instant::now(), Machine::take()?));
        }
        match round::run(&mut site, plan) {
            Ok(seen) => table.add(&seen),
            Err(why) => {
                failed += 1;
                eprintln!("round {number} of seed {} failed: {plan:?}: {why:?}", arguments.seed);
                eprintln!("again: --seed {} --first {number} --rounds 1", arguments.seed);
                if !arguments.keep_going {
                    break;
                }
                // Whatever is broken is not the next round's.
                drop(site);
                place::clear()?;
                site = Site::beside("chaos")?;
                site.keep_addresses()?;
            }
        }
    }
    let took = start.elapsed().as_secs();
    let mut out = stdout().lock();
    write!(out, "{}, seed {}, {took} s\n\n{table}", machine::description()?, arguments.seed)
        .and_then(|()| out.flush())
        .context("writing to standard output")?;
    ensure!(failed == 0, "{failed} rounds failed with seed {}", arguments.seed);
    Ok(())
}
