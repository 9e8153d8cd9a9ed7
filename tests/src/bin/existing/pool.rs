//! One pool of connections through many faults: each is on and off from the first moment, and no connection is closed.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use httpfault_common::contract::{Counters, Event};
use httpfault_tests::{
    agent::experiment,
    clients::{Client, Task},
    load::{Load, Outcome, Plan, Sample, Style, Tally},
    machine::Machine,
    servers::Server,
    site::Site,
    wait,
};

use crate::{DELAYED, Mode, Servers, describe_machine, print, proof::SERVERS, traffic::Going};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    servers: Servers,
    #[arg(long, value_enum, default_value = "take")]
    mode: Mode,
    /// Faults for each client
    #[arg(long, default_value_t = 50)]
    faults: usize,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How long each fault is on, and how long off, milliseconds
    #[arg(long, default_values_t = [300, 200], num_args = 2)]
    on_off: Vec<u64>,
}

/// When one fault was on, as its client could know.
struct Span {
    injected: Instant,
    ending: Instant,
    removed: Instant,
    /// The next one is started.
    next: Instant,
}

/// What one server and client came to.
struct Row {
    server: Server,
    client: &'static str,
    /// Whether each answer's own time is known, not only when it was told.
    timed: bool,
    spans: Vec<Span>,
    existing: Vec<Counters>,
    tally: Tally,
}

pub(crate) fn measure(arguments: &Arguments) -> Result<()> {
    describe_machine()?;
    print(&format!("\n{HEAD}"))?;
    for server in arguments.servers.among(&SERVERS) {
        let site = Site::serve_beside(server)?;
        for own in [true, false] {
            print(&row(arguments, server, &site, own)?.to_string())?;
        }
    }
    Ok(())
}

fn row(arguments: &Arguments, server: Server, site: &Site, own: bool) -> Result<Row> {
    let _machine = Machine::take()?;
    let connections = arguments.connections;
    let (client, going) = if own {
        let plan = Plan::new(site.v4(), connections, Style::KeepAlive).and(site.v6());
        ("our own", Going::Own(Load::start(&site.client, plan)))
    } else {
        let task = Task { to: site.v4(), path: "", connections, pause: Duration::ZERO };
        ("wrk", Going::Program(Client::Wrk.start(&site.client, task)?))
    };
    let (mut spans, mut existing) = (Vec::new(), Vec::new());
    for _ in 0..arguments.faults {
        going.await_real(connections)?;
        wait::pause(Duration::from_millis(arguments.on_off[1]));
        if let Some(last) = spans.last_mut() {
            let Span { next, .. } = last;
            *next = Instant::now();
        }
        let (span, counters) =
            one(arguments, site).with_context(|| format!("{server}, {client}, {}", arguments.mode.word()))?;
        spans.push(span);
        existing.push(counters);
    }
    going.await_real(connections)?;
    let (tally, remarks) = going.stop()?;
    for (remark, count) in remarks {
        eprintln!("{server}, {client}: {count} times {remark}");
    }
    if let Some(last) = spans.last_mut() {
        last.next = Instant::now();
    }
    Ok(Row { server, client, timed: own, spans, existing, tally })
}

/// One fault over the client's connections.
fn one(arguments: &Arguments, site: &Site) -> Result<(Span, Counters)> {
    let more = ["--existing-connections", arguments.mode.word(), "--duration", "600"];
    let mut agent = site.inject(&experiment("pool"), &more)?;
    let injected = Instant::now();
    wait::pause(Duration::from_millis(arguments.on_off[0]));
    let ending = Instant::now();
    agent.signal(nix::sys::signal::Signal::SIGTERM)?;
    let Event::Removed(report) = agent.event()? else { anyhow::bail!("the fault was not removed") };
    let removed = Instant::now();
    agent.ended()?;
    for warning in &report.warnings {
        eprintln!("{warning}");
    }
    let target = report.targets.into_iter().next().context("a report of no target")?;
    Ok((Span { injected, ending, removed, next: removed }, target.counters))
}

const HEAD: &str = "| server | client | faults | connections at their start | taken | given back | closed | requests | \
    faulted | lost | cut | real while on | faulted while off | delayed |\n\
    | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";

impl Row {
    /// Answers with that outcome that began and ended within some span.
    fn within(&self, outcome: Outcome, span: impl Fn(&Span) -> (Instant, Instant)) -> String {
        if !self.timed {
            return "unknown".to_owned();
        }
        let spans: Vec<(Instant, Instant)> = self.spans.iter().map(span).collect();
        let inside = |sample: &&Sample| {
            sample.outcome == outcome
                && spans.iter().any(|(from, until)| sample.sent >= *from && sample.ended <= *until)
        };
        self.tally.samples.iter().filter(inside).count().to_string()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, client, spans, existing, tally, .. } = self;
        let sum = |count: fn(&Counters) -> u64| existing.iter().map(count).sum::<u64>();
        let found = sum(|counters| counters.existing_found);
        let taken = sum(|counters| counters.existing_taken);
        let given_back = sum(|counters| counters.existing_given_back);
        let closed = sum(|counters| counters.existing_drained + counters.existing_reset);
        let cut = tally.cut();
        let lost = tally.lost().len() - cut;
        let requests = tally.samples.len() - tally.count(Outcome::Retried);
        let faulted = tally.count(Outcome::Fault);
        let real = self.within(Outcome::Real, |span| (span.injected, span.ending));
        let after = self.within(Outcome::Fault, |span| (span.removed, span.next));
        let delayed = if self.timed { tally.slower_than(DELAYED).to_string() } else { "unknown".to_owned() };
        writeln!(
            f,
            "| {server} | {client} | {} | {found} | {taken} | {given_back} | {closed} | {requests} | {faulted} | {lost} | \
             {cut} | {real} | {after} | {delayed} |",
            spans.len()
        )
    }
}
