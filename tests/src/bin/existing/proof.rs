//! Many takes and give-backs with each server, and with the agent killed while connections are taken.

mod cycles;
mod kernel_log;
mod kills;

use std::{fmt, time::Duration};

use anyhow::{Context, Result};
use cycles::Cycles;
use httpfault_tests::{
    load::{Load, Outcome, Plan, Request, Style, Tally},
    machine::Machine,
    servers::Server,
    site::Site,
};
use kills::KILLS;

use crate::{DELAYED, Mode, Servers, describe_machine, print};

/// Those whose ways of reading differ: event loops, blocking readers, a pool of threads.
pub(crate) const SERVERS: [Server; 6] =
    [Server::Nginx, Server::Go, Server::Java, Server::Node, Server::PythonThreads, Server::GunicornThreads];

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    servers: Servers,
    #[arg(long, value_enum, default_value = "take")]
    mode: Mode,
    /// Takes for each load
    #[arg(long, default_value_t = 10_000)]
    takes: u64,
    /// Connections of each load, half of them over IPv6
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How long each fault is on, and how long off, milliseconds
    #[arg(long, default_values_t = [300, 200], num_args = 2)]
    on_off: Vec<u64>,
    /// Between two requests of a load that pauses, milliseconds
    #[arg(long, default_value_t = 5)]
    pause: u64,
    /// How often each process is killed
    #[arg(long, default_value_t = 10)]
    kills: usize,
}

/// What one load came to.
struct Row {
    server: Server,
    what: String,
    done: cycles::Done,
    tally: Tally,
    warnings: usize,
}

pub(crate) fn measure(arguments: &Arguments) -> Result<()> {
    describe_machine()?;
    print(&format!("\n{HEAD}"))?;
    let pause = Duration::from_millis(arguments.pause);
    for server in arguments.servers.among(&SERVERS) {
        let site = Site::serve_beside(server)?;
        for (request, word) in [(Request::Get("/"), "GET"), (Request::SplitPost(1000), "POST in pieces")] {
            for pause in [Duration::ZERO, pause] {
                let plan = plan(&site, arguments.connections).request(request).pause(pause);
                let what =
                    if pause.is_zero() { "closed loop".to_owned() } else { format!("{pause:?} pauses") };
                let row = row(server, &format!("{word}, {what}"), &site, plan, |load| {
                    Cycles::new(arguments).until_taken(&site, load)
                })?;
                print(&row.to_string())?;
            }
        }
        for kill in KILLS {
            let plan = plan(&site, arguments.connections).pause(pause);
            let what = format!("GET, {pause:?} pauses, {kill} killed");
            let row = row(server, &what, &site, plan, |load| kill.times(arguments, &site, load))?;
            print(&row.to_string())?;
        }
    }
    Ok(())
}

fn plan(site: &Site, connections: usize) -> Plan {
    Plan::new(site.v4(), connections, Style::KeepAlive).and(site.v6())
}

fn row(
    server: Server,
    what: &str,
    site: &Site,
    plan: Plan,
    work: impl FnOnce(&Load) -> Result<cycles::Done>,
) -> Result<Row> {
    let _machine = Machine::take()?;
    let before = kernel_log::warnings()?;
    let load = Load::start(&site.client, plan);
    load.await_real(plan.clients)?;
    let done = work(&load).with_context(|| format!("{server}, {what}"))?;
    let tally = load.stop()?;
    let warnings = kernel_log::warnings()?.saturating_sub(before);
    if !tally.lost().is_empty() {
        eprintln!("{server}, {what}: {}", tally.summary());
    }
    Ok(Row { server, what: what.to_owned(), done, tally, warnings })
}

const HEAD: &str = "| server | load | faults | taken | given back | requests | faulted | lost | cut | asked again | delayed | \
    kernel warnings |\n| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, what, done, tally, warnings } = self;
        let cycles::Done { faults, taken, given_back } = done;
        let (cut, again) = (tally.cut(), tally.count(Outcome::Retried));
        let lost = tally.lost().len() - cut;
        let requests = tally.samples.len() - again;
        let faulted = tally.count(Outcome::Fault);
        let delayed = tally.slower_than(DELAYED);
        writeln!(
            f,
            "| {server} | {what} | {faults} | {taken} | {given_back} | {requests} | {faulted} | {lost} | {cut} | {again} | \
             {delayed} | {warnings} |"
        )
    }
}
