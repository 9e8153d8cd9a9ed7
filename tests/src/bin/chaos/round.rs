//! One round: a fault under load, the harm, the end, and what has to be true then.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use httpfault_common::contract::Exit;
use httpfault_tests::{
    agent::{self, experiment},
    clean::Traces,
    inside::ask,
    load::{Load, Outcome, Plan as Clients, Request, Style},
    site::{PORT, Site},
};

use crate::{
    harm::{self, Done},
    judge::{self, Cost},
    plan::{Harm, Mode, Plan},
};

const PROXY_PORT: u16 = 20000;

/// What a round came to.
#[derive(Debug)]
pub(crate) struct Seen {
    /// What was done to whom.
    pub(crate) what: String,
    pub(crate) requests: usize,
    pub(crate) faulted: usize,
    /// By the way in which existing connections are ended.
    pub(crate) by_mode: usize,
    /// By the harm itself.
    pub(crate) lost: usize,
    /// Whether files were left, which `remove` took away.
    pub(crate) files: bool,
    /// From the harm to the first real answer of a request that was sent after it, where it ends the fault.
    pub(crate) real_after: Duration,
}

/// Clients of three kinds.
pub(crate) struct Loads(Vec<(Load, Kind)>);

/// Clients of one kind.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    count: usize,
}

/// How many requests of each client the way of ending existing connections may cost.
fn asked(plan: Plan) -> Option<usize> {
    // Each connection that existed, once for each fault.
    let faults = if plan.harm == Harm::Restart { 2 } else { 1 };
    (plan.mode == Mode::Reset).then_some(faults)
}

pub(crate) fn run(site: &mut Site, plan: Plan) -> Result<Seen> {
    // Agents of others are in other mount namespaces.
    let before = Traces::here()?;
    let id = experiment("chaos");
    let loads = Loads::start(site)?;
    let start = Instant::now();
    let Done { what, ends_at, costs, leaves_files } = harm::to_a_fault(site, plan, &id, &loads)?;
    let end = Instant::now();
    loads.await_real().context("after the end")?;

    let (mut requests, mut faulted, mut by_mode, mut lost, mut real_after) = (0, 0, 0, 0, Duration::ZERO);
    // Gates stay with the connections that they are on, so these are closed before anybody looks.
    for (load, clients) in loads.0 {
        let tally = load.stop()?;
        requests += tally.samples.len();
        faulted += tally.count(Outcome::Fault);
        judge::over(&tally, end)?;
        let (ended, others) = judge::ended(&tally);
        let asked = asked(plan).map(|each| Cost { from: start, until: end, each });
        let may_end: Vec<Cost> = costs.iter().copied().chain(asked).collect();
        *(if asked.is_some() { &mut by_mode } else { &mut lost }) +=
            judge::lost(&ended, clients.count, &may_end).with_context(|| clients.name)?;
        lost += judge::lost(&others, clients.count, &costs).with_context(|| clients.name)?;
        if let Some(moment) = ends_at {
            let real = tally.sent_after(moment).first(Outcome::Real).context("no real answer")?;
            real_after = real_after.max(real - moment);
        }
    }
    let files = leaves_files && !agent::status()?.faults.is_empty();
    if files {
        let (code, report) = agent::remove(&["--all"])?;
        ensure!((code, report.exit) == (Some(0), Exit::Done), "remove --all: {report:?}");
    }
    before.none_but_these(&[(&site.target, PROXY_PORT)])?;
    application_answers(site)?;
    Ok(Seen { what, requests, faulted, by_mode, lost, files, real_after })
}

fn application_answers(site: &Site) -> Result<()> {
    for to in site.addresses() {
        let response = site.get(to, "/").with_context(|| format!("asking {to} afterwards"))?;
        ensure!(response.is_real(), "{to} answers {response:?} afterwards");
    }
    let inside = ask(site.in_task()?, (Ipv4Addr::LOCALHOST, PORT).into())?;
    ensure!(inside.real, "a client in the task sees {inside:?} afterwards");
    Ok(())
}

impl Loads {
    fn start(site: &Site) -> Result<Self> {
        let of = |clients, style| Clients::new(site.v4(), clients, style).and(site.v6());
        let uploads = of(2, Style::KeepAlive).request(Request::SplitPost(1000));
        let plans = [
            ("a connection for each request", of(3, Style::Close).pause(Duration::from_millis(3))),
            ("kept connections", of(3, Style::KeepAlive).pause(Duration::from_millis(10))),
            ("uploads in pieces", uploads.pause(Duration::from_millis(5))),
        ];
        let start = |(name, plan): (&'static str, Clients)| {
            (Load::start(&site.client, plan), Kind { name, count: plan.clients })
        };
        let loads = Self(plans.map(start).into());
        loads.await_real().context("before the fault")?;
        Ok(loads)
    }

    fn await_real(&self) -> Result<()> {
        self.0.iter().try_for_each(|(load, clients)| load.await_real(clients.count * 2).map(drop))
    }

    /// Of clients with new connections.
    pub(crate) fn await_faults(&self, count: usize) -> Result<()> {
        self.0[0].0.await_faults(count).map(drop)
    }

    /// Of whatever kind.
    pub(crate) fn await_answers(&self, count: usize) -> Result<()> {
        self.0[0].0.await_answers(count).map(drop)
    }
}
