//! Each server with each client in each mode.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use httpfault_tests::{
    agent::experiment,
    load::{Outcome, Tally},
    machine::Machine,
    servers::Server,
    site::Site,
    wait,
};

use crate::{
    Mode, Servers, describe_machine, milliseconds, print,
    traffic::{Traffic, last_real},
};

/// Answers that prove that a client's connections are in use.
const WARM: usize = 30;
/// Answers of the application after the fault that prove that a client is well.
const WELL: usize = 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    servers: Servers,
    /// Only clients whose description contains this
    #[arg(long)]
    client: Option<String>,
    /// Only these modes (repeatable)
    #[arg(long, value_enum, default_values = ["keep", "drain", "reset"])]
    mode: Vec<Mode>,
    /// Connections of each client; curl has one
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// How long each fault is on, milliseconds
    #[arg(long, default_value_t = 3000)]
    hold: u64,
}

/// What was seen of one server, client and mode.
struct Cell {
    server: Server,
    traffic: Traffic,
    tally: Tally,
    last_real: Option<Duration>,
    left: u64,
    /// Whether the client was answered by the application after the fault.
    well: bool,
}

pub(crate) fn measure(arguments: &Arguments) -> Result<()> {
    // gunicorn's default worker keeps no connection, and inside TLS nothing can be told.
    let keeps = |server: &Server| server.keeps_connections() && *server != Server::NginxTls;
    let all: Vec<Server> = Server::ALL.into_iter().filter(keeps).collect();
    describe_machine()?;
    for mode in &arguments.mode {
        print(&format!("\n### {}\n\n{HEAD}", mode.word()))?;
        for server in arguments.servers.among(&all) {
            let site = Site::serve_beside(server)?;
            let wanted = |traffic: &Traffic| {
                arguments.client.as_ref().is_none_or(|name| traffic.to_string().contains(name.as_str()))
            };
            for traffic in Traffic::with(server).into_iter().filter(wanted) {
                let cell = one(arguments, *mode, server, &site, traffic)
                    .with_context(|| format!("{server}, {traffic}, {}", mode.word()))?;
                print(&cell.to_string())?;
            }
        }
    }
    Ok(())
}

fn one(arguments: &Arguments, mode: Mode, server: Server, site: &Site, traffic: Traffic) -> Result<Cell> {
    let _machine = Machine::take()?;
    let going = traffic.start(site, arguments.connections)?;
    going.await_real(WARM)?;
    let more = ["--existing-connections", mode.word(), "--duration", "600"];
    let agent = site.inject(&experiment("modes"), &more)?;
    let injected = Instant::now();
    wait::pause(Duration::from_millis(arguments.hold));
    let ending = Instant::now();
    let left = agent.terminate()?.target()?.counters.existing_still_open;
    let well = going.await_real(WELL).is_ok();
    let (tally, remarks) = going.stop()?;
    for (remark, count) in remarks {
        eprintln!("{server}, {traffic}, {}: {count} times {remark}", mode.word());
    }
    let last_real = last_real(&tally, injected, ending);
    Ok(Cell { server, traffic, tally, last_real, left, well })
}

const HEAD: &str = "| server | client | requests | lost | cut | asked again | last real answer | left open |\n\
    | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n";

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, traffic, tally, left, .. } = self;
        let cut = tally.cut();
        let lost = tally.lost().len() - cut;
        let again = tally.count(Outcome::Retried);
        let last = self.last_real.map_or_else(|| "none".to_owned(), milliseconds);
        let well = if self.well { "" } else { ", hangs after the fault" };
        let requests = tally.samples.len() - again;
        writeln!(
            f,
            "| {server} | {traffic}{well} | {requests} | {lost} | {cut} | {again} | {last} | {left} |"
        )
    }
}
