//! `run` under Litmus: the same run, with a ChaosResult around it. Whatever becomes of the run is the verdict in the result;
//! the exit code only says that there is one.

use clap::ArgMatches;
use httpfault_common::contract::Exit;

use super::{note, run};
use crate::{
    abort::Abort,
    console::Console,
    error::CtlError,
    exit,
    litmus::{Litmus, LitmusProbe, Outcome},
    report::RunReport,
    tunables::{self, LitmusRun, ProcessEnvironment, read_run},
};

/// Runs, and writes the result before and after.
pub(super) async fn run_with_result(
    litmus: &LitmusRun,
    matches: &ArgMatches,
    console: &mut Console,
    abort: &Abort,
) -> anyhow::Result<Exit> {
    let name = litmus.result_name();
    let litmus = tokio::select! {
        begun = Litmus::begin(litmus) => begun?,
        () = abort.signals(1) => return Err(CtlError::Aborted.into()),
    };
    let mut probes = Vec::new();
    let ended = experiment(&litmus, &mut probes, matches, console, abort).await;
    let outcome = match &ended {
        Ok(report) => Outcome::of(report, &probes),
        Err(error) => Outcome::failed(exit::of_error(error), error),
    };
    if let Err(error) = litmus.end(&outcome).await {
        console.say(&format!("error: the ChaosResult {name} does not say how this ended: {error}"));
        return ended.map(|report| report.exit);
    }
    if let Err(error) = ended {
        super::say_error(&error, matches, console);
    }
    console.say(&format!("the verdict is in the ChaosResult {name}"));
    Ok(Exit::Done)
}

async fn experiment(
    litmus: &Litmus,
    probes: &mut Vec<LitmusProbe>,
    matches: &ArgMatches,
    console: &mut Console,
    abort: &Abort,
) -> anyhow::Result<RunReport> {
    tokio::select! {
        read = litmus.probes() => *probes = read?,
        () = abort.signals(1) => return Err(CtlError::Aborted.into()),
    }
    let mut settings = note(tunables::check(matches, &ProcessEnvironment, read_run)?, console);
    settings.probes.extend(probes.iter().map(|one| one.probe.clone()));
    run::run(&settings, console, abort).await
}
