//! The controller against two thousand tasks on four hundred instances: which calls it makes, what they cost at the
//! rates that AWS allows, and what memory it takes. The APIs are simulated, with latency and rate limits; hosts answer
//! from a stub, so that nothing but the controller and the APIs is measured.

pub(crate) mod abort;
mod fleet;

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use httpfault_simulator::{Simulator, Timing, World};
use httpfault_tests::{
    experiment::{AgentFile, CLUSTER, Ctl, Ended, SERVICE},
    machine, wait,
};
use procfs::process::Process;

use crate::print;
use fleet::Fleet;

/// What a call takes from a controller in the same region.
const ECS_LATENCY: Duration = Duration::from_millis(50);
const SSM_LATENCY: Duration = Duration::from_millis(80);
/// What a command takes from SendCommand to the host.
const DELIVERY: Duration = Duration::from_millis(800);

/// What delivery in pieces may take, in times of what the SSM agents' pace makes it take; the plan promises it.
const MOST_TIMES_FLOOR: f64 = 1.2;

/// Calls in a second, and at once. Assumed: ECS documents 50 cluster reads at once ("Request throttling for the Amazon
/// ECS API"), Systems Manager documents nothing; the rates are on the careful side.
const LIMITS: [Limit; 11] = [
    Limit::ecs("DescribeClusters"),
    Limit::ecs("DescribeServices"),
    Limit::ecs("ListTasks"),
    Limit::ecs("DescribeTasks"),
    Limit::ecs("DescribeContainerInstances"),
    Limit::ssm("DescribeInstanceInformation"),
    Limit::ssm("SendCommand"),
    Limit::ssm("ListCommandInvocations"),
    Limit::ssm("GetCommandInvocation"),
    Limit::ssm("ListCommands"),
    Limit::ssm("CancelCommand"),
];

#[derive(Clone, Copy, Debug)]
struct Limit {
    action: &'static str,
    per_second: f64,
    burst: u32,
    latency: Duration,
}

impl Limit {
    const fn ecs(action: &'static str) -> Self {
        Self { action, per_second: 20.0, burst: 50, latency: ECS_LATENCY }
    }

    const fn ssm(action: &'static str) -> Self {
        Self { action, per_second: 5.0, burst: 10, latency: SSM_LATENCY }
    }

    /// The shortest time in which so many calls are let through.
    fn least(&self, calls: usize) -> f64 {
        ((calls as f64 - f64::from(self.burst)) / self.per_second).max(0.0)
    }
}

/// How the SSM agents of the hosts take their messages.
#[derive(Clone, Copy, Debug)]
enum Pace {
    /// As they come: what is left is the controller's and the APIs' time.
    AtOnce,
    /// One every 2 to 2.5 s, as the real one does.
    Real,
}

impl Pace {
    fn timing(self) -> Timing {
        match self {
            Self::AtOnce => Timing { delivery: DELIVERY, ..Timing::default() },
            Self::Real => Timing { delivery: DELIVERY, ..Timing::harsh() },
        }
    }
}

/// The size of the measurement.
#[derive(Debug)]
pub(crate) struct Size {
    pub(crate) hosts: usize,
    pub(crate) tasks_per_host: usize,
    /// How long the fault is on, seconds.
    pub(crate) seconds: u64,
}

/// Prints a table for the plan, and for runs with the agents in place and with agents that have to be brought, at both
/// paces.
pub(crate) fn measure(size: &Size) -> Result<()> {
    let Size { hosts, tasks_per_host, seconds } = size;
    print(&format!("{}\n\n", machine::description()?))?;
    print(&format!(
        "{} tasks on {hosts} instances, a fault of {seconds} s; a call takes {} ms (ECS) or {} ms (SSM), a command {} ms \
         to its host; the controller looks every 5 s.\n",
        hosts * tasks_per_host,
        ECS_LATENCY.as_millis(),
        SSM_LATENCY.as_millis(),
        DELIVERY.as_millis(),
    ))?;
    one(size, "plan", "plan", true, Pace::AtOnce)?;
    one(size, "run, agents in place", "run", true, Pace::AtOnce)?;
    one(size, "run, agents brought over SSM", "run", false, Pace::AtOnce)?;
    print(
        "\nThe same where the SSM agents of the hosts take one message every 2 to 2.5 s, as the real one does:\n",
    )?;
    one(size, "run at the real pace, agents in place", "run", true, Pace::Real)?;
    one(size, "run at the real pace, agents brought over SSM", "run", false, Pace::Real)
}

fn one(size: &Size, title: &str, command: &str, in_place: bool, pace: Pace) -> Result<()> {
    let fleet = Fleet::new(in_place);
    let timing = pace.timing();
    let world = World::fleet(size.hosts, size.tasks_per_host);
    let simulator = Simulator::builder(world).timing(timing).execution(fleet.execution()).start()?;
    limit(&simulator);
    let directory = tempfile::tempdir().context("creating a directory for the controller")?;
    let (ended, memory) = watched(controller(command, directory.path(), &simulator, size)?)?;
    ensure!(ended.status.success(), "{title}: {ended}");
    let tasks = ended.report()?["tasks"].as_array().map_or(0, Vec::len);
    ensure!(tasks == size.hosts * size.tasks_per_host, "{title}: {tasks} tasks are in the report");
    report(title, &simulator, &ended, memory, if command == "run" { size.seconds } else { 0 })?;
    match (pace, in_place) {
        (Pace::Real, false) => delivery(title, &simulator, &fleet),
        _ => Ok(()),
    }
}

/// What bringing the agent took, beside the least that the pace of the SSM agents allows.
fn delivery(title: &str, simulator: &Simulator, fleet: &Fleet) -> Result<()> {
    let commands = simulator.commands();
    let messages = commands
        .iter()
        .filter(|one| one.comment.contains(" piece ") || one.comment.contains(" install "))
        .flat_map(|one| &one.invocations)
        .fold(BTreeMap::<&str, usize>::new(), |mut messages, one| {
            *messages.entry(&one.instance_id).or_default() += 1;
            messages
        });
    let most = messages.into_values().max().context("no piece was sent")?;
    let harsh = Timing::harsh().messages.context("the real agent has a pace")?;
    let floor = (harsh.least + harsh.most).as_secs_f64() / 2.0 * most as f64;
    let took = fleet.delivery().context("no host got an agent")?.as_secs_f64();
    let times = took / floor;
    print(&format!(
        "Bringing the agent took {took:.1} s, from the first piece on a host to the last agent in place: {times:.2} times \
         the {floor:.1} s of {most} messages to a host.\n"
    ))?;
    ensure!(times <= MOST_TIMES_FLOOR, "{title}: delivery is slower than {MOST_TIMES_FLOOR} times the floor");
    Ok(())
}

/// Gives every API its rate and its latency.
fn limit(simulator: &Simulator) {
    simulator.faults(|faults| {
        for limit in LIMITS {
            faults.throttle(limit.action, limit.per_second, limit.burst);
            faults.delay(limit.action, limit.latency);
        }
    });
}

fn controller(command: &str, directory: &Path, simulator: &Simulator, size: &Size) -> Result<Ctl> {
    let agent = AgentFile::stripped()?;
    let ctl = Ctl::new(command, directory)?.envs(simulator.env()).env("CLUSTER_NAME", CLUSTER);
    let ctl = ctl.env("SERVICE_NAME", SERVICE).env("TOTAL_CHAOS_DURATION", size.seconds.to_string());
    let ctl = ctl.env("AGENT_DIR", agent.directory()).env("HTTPFAULT_ANSWER_SECS", "300");
    Ok(ctl.env("HTTPFAULT_POLL_MS", "5000").patience(Duration::from_secs(1800)))
}

/// Runs it and looks at the most memory it has had, bytes.
fn watched(ctl: Ctl) -> Result<(Ended, u64)> {
    let mut run = ctl.start()?;
    let pid = run.pid().cast_signed();
    let mut most = 0;
    while !run.is_over()? {
        // It may have ended since; what was seen then is kept.
        let status = Process::new(pid).and_then(|process| process.status());
        most = most.max(status.ok().and_then(|status| status.vmhwm).unwrap_or(0) * 1024);
        wait::pause(Duration::from_millis(20));
    }
    Ok((run.ended()?, most))
}

fn report(title: &str, simulator: &Simulator, ended: &Ended, memory: u64, held: u64) -> Result<()> {
    let mut counts = BTreeMap::<String, (usize, usize)>::new();
    for call in simulator.calls() {
        let throttled = usize::from(call.error_code().is_some());
        let count = counts.entry(call.action).or_default();
        *count = (count.0 + 1, count.1 + throttled);
    }
    print(&format!("\n### {title}\n\n| API | calls | throttled | limit | at least |\n"))?;
    print("| --- | ---: | ---: | ---: | ---: |\n")?;
    let mut least: f64 = 0.0;
    for limit in LIMITS {
        let Some((calls, throttled)) = counts.remove(limit.action) else { continue };
        let bound = limit.least(calls - throttled);
        least = least.max(bound);
        let Limit { action, per_second, burst, .. } = limit;
        print(&format!(
            "| {action} | {calls} | {throttled} | {per_second}/s, {burst} at once | {bound:.1} s |\n"
        ))?;
    }
    ensure!(counts.is_empty(), "calls without a limit: {counts:?}");
    let wall = ended.took.as_secs_f64();
    let megabytes = memory as f64 / 1e6;
    print(&format!("\nWall time {wall:.1} s"))?;
    if held > 0 {
        print(&format!(", of which the fault is on for {held} s"))?;
    }
    print(&format!("; the limits alone take {least:.1} s. Most memory: {megabytes:.0} MB.\n"))
}
