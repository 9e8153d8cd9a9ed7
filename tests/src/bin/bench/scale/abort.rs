//! How long a fault stays on after SIGTERM, on hosts that are idle and on hosts that others keep busy, with SSM agents
//! that take their messages as the real one does.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use httpfault_simulator::{Simulator, Timing, World};
use httpfault_tests::wait;
use nix::sys::signal::Signal;

use super::{Size, controller, fleet::Fleet, limit};
use crate::print;

/// How long a fault may stay on after SIGTERM, and how long the proof may take, seconds: a pod has little more.
const OFF_WITHIN: f64 = 10.0;
const PROVED_WITHIN: f64 = 25.0;
/// How long a fault may take to be on everywhere.
const PATIENCE: Duration = Duration::from_secs(120);

/// Prints a row for idle hosts and one for hosts with one free worker of five.
pub(crate) fn measure(size: &Size) -> Result<()> {
    print(&format!(
        "Abort (SIGTERM) of a fault on {} instances; their SSM agents take a message every 2 to 2.5 s.\n\n",
        size.hosts
    ))?;
    print("| workers that others keep busy | off everywhere after | proved and ended after | cancelled |\n")?;
    print("| --- | ---: | ---: | ---: |\n")?;
    for busy in [0, 4] {
        one(size, busy)?;
    }
    Ok(())
}

fn one(size: &Size, busy: u32) -> Result<()> {
    let fleet = Fleet::new(true);
    let world = World::fleet(size.hosts, size.tasks_per_host);
    let hosts: Vec<String> = world.managed_instances.iter().map(|one| one.id.clone()).collect();
    let simulator = Simulator::builder(world).timing(Timing::harsh()).execution(fleet.execution()).start()?;
    limit(&simulator);
    let directory = tempfile::tempdir().context("creating a directory for the controller")?;
    let run = controller("run", directory.path(), &simulator, size)?.start()?;
    // Not before the look for the agent, which would wait for a free worker.
    let probed = simulator.wait_for_commands(PATIENCE, |commands| {
        commands.iter().any(|one| one.comment.contains(" probe ") && one.status.is_final()).then_some(())
    });
    probed.with_context(|| format!("nobody looked for the agent: {}", run.stderr()))?;
    let mut taken = Vec::new();
    for host in &hosts {
        let before = taken.len();
        let free = || {
            taken.extend(simulator.occupy(host, busy));
            Ok(taken.len() > before)
        };
        wait::until("free workers", PATIENCE, free)?;
    }
    wait::until("the fault on every host", PATIENCE, || Ok(fleet.count() == hosts.len()))
        .with_context(|| run.stderr())?;

    let begin = Instant::now();
    run.signal(Signal::SIGTERM)?;
    wait::until("the fault to go", PATIENCE, || Ok(fleet.count() == 0)).with_context(|| run.stderr())?;
    let off = begin.elapsed().as_secs_f64();
    let ended = run.ended()?;
    let proved = begin.elapsed().as_secs_f64();
    ensure!(ended.status.code() == Some(130), "{ended}");
    let report = ended.report()?;
    let tasks = report["tasks"].as_array().context("no tasks in the report")?;
    ensure!(tasks.iter().all(|task| task["verified_off"] == true), "not proved everywhere: {ended}");
    let cancelled = simulator.count("CancelCommand");
    print(&format!("| {busy} of 5 | {off:.1} s | {proved:.1} s | {cancelled} calls |\n"))?;
    ensure!(
        off <= OFF_WITHIN && proved <= PROVED_WITHIN,
        "it may take {OFF_WITHIN} s to be off and {PROVED_WITHIN} s to be proved"
    );
    Ok(())
}
