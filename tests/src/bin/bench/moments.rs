//! How long a fault takes to come and to go, and what memory the agent needs.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use httpfault_tests::{
    agent::experiment,
    load::{Load, Outcome, Plan, Style},
    site::Site,
    wire::Connection,
};
use nix::sys::signal::Signal;
use procfs::process::Process;

use crate::Row;

/// From exec to the first faulted response, and from SIGTERM to the last one, as clients see them under load.
pub(crate) fn injection_and_removal(faults: usize) -> Result<Vec<Row>> {
    let site = Site::beside("bench")?;
    let (mut comes, mut goes) = (Vec::new(), Vec::new());
    for _ in 0..faults {
        let plan = Plan::new(site.v4(), 2, Style::Close).pause(Duration::from_micros(200));
        let load = Load::start(&site.client, plan);
        load.await_real(50)?;
        let exec = Instant::now();
        let mut agent = site.run(&experiment("bench"), &[])?;
        agent.injected()?;
        load.await_faults(200)?;
        let term = Instant::now();
        agent.signal(Signal::SIGTERM)?;
        load.await_real(200)?;
        agent.ended()?;
        let tally = load.stop()?;
        if !tally.lost().is_empty() {
            bail!("requests were lost: {}", tally.summary());
        }
        comes.push(tally.first(Outcome::Fault).context("no fault")?.duration_since(exec));
        goes.push(tally.last(Outcome::Fault).context("no fault")?.saturating_duration_since(term));
    }
    Ok(vec![
        ("from exec of the agent to the first faulted response".into(), spread(&mut comes)),
        ("from SIGTERM to the last faulted response".into(), spread(&mut goes)),
    ])
}

/// From exec to the first faulted response of a new client, in a namespace with that many sockets in TIME_WAIT.
pub(crate) fn injection(faults: usize, waiting: usize) -> Result<Row> {
    let site = Site::beside("start")?;
    site.target.run(|| leave_waiting(waiting))?;
    let mut comes = Vec::new();
    for _ in 0..faults {
        let exec = Instant::now();
        let mut agent = site.run(&experiment("start"), &[])?;
        agent.injected()?;
        if site.get(site.v4(), "/")?.is_real() {
            bail!("the application answered after the fault was on");
        }
        comes.push(exec.elapsed());
        agent.terminate()?;
    }
    let what = format!("from exec to a faulted response, {waiting} sockets in TIME_WAIT");
    Ok((what, spread(&mut comes)))
}

/// Opens and closes connections in the calling thread's namespace; whoever closes first keeps its end in TIME_WAIT.
fn leave_waiting(number: usize) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).context("listening")?;
    let port = listener.local_addr()?.port();
    for serial in 0..number {
        // A client has at most 28,000 ports for each destination.
        let block = u8::try_from(serial / 20_000).context("too many sockets")?;
        let client = TcpStream::connect((Ipv4Addr::new(127, 0, block, 1), port)).context("connecting")?;
        let (served, _) = listener.accept().context("accepting")?;
        drop(served);
        drop(client);
    }
    Ok(())
}

/// Resident memory without and with open connections, each of which has had a response.
pub(crate) fn memory(connections: usize) -> Result<Vec<Row>> {
    let site = Site::beside("memory")?;
    let agent = site.inject(&experiment("memory"), &[])?;
    let idle = resident(agent.pid())?;
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut connection = site.client.run(|| Ok(Connection::open(site.v4())?))?;
        connection.get("/")?;
        open.push(connection);
    }
    let full = resident(agent.pid())?;
    agent.terminate()?;
    Ok(vec![
        ("resident memory of the agent, no connection".into(), format!("{idle:.1} MB")),
        (format!("resident memory of the agent, {connections} open connections"), format!("{full:.1} MB")),
    ])
}

/// Median and maximum.
fn spread(times: &mut [Duration]) -> String {
    times.sort();
    let milliseconds = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    let (median, worst) = (milliseconds(times.get(times.len() / 2)), milliseconds(times.last()));
    format!("median {median:.0} ms, worst of {} {worst:.0} ms", times.len())
}

/// VmRSS of a process, MB.
fn resident(pid: u32) -> Result<f64> {
    let status = Process::new(pid.cast_signed()).and_then(|process| process.status());
    let kibibytes = status.context("reading the agent's status")?.vmrss.context("no VmRSS")?;
    Ok(kibibytes as f64 / 1024.0)
}
