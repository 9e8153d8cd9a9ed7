//! How soon a fault is on, and how soon it is gone, as clients see it.

pub(crate) mod busy;
mod containers;
mod iptables;
mod watch;

use anyhow::{Context, Result};
use httpfault_tests::{
    agent::{self, Agent, experiment},
    site::Site,
    wait,
};
use nix::sys::signal::Signal;

use crate::{
    contenders::site,
    results::{Moment, Results, Subject, When},
    size::Size,
};
pub(crate) use containers::containers;
use watch::{End, Seen, watch};

pub(crate) fn measure(size: &Size, results: &mut Results) -> Result<()> {
    let idle = site("idle")?;
    let seen = with_agent(&idle, size.faults, Signal::SIGTERM)?;
    results.moments.extend(on_and_off("`--pid`", Some(Subject::Start), &seen));
    let seen = with_agent(&idle, size.faults, Signal::SIGKILL)?;
    results.moments.push(killed("`--pid`", &seen));
    results.moments.extend(iptables::measure(&idle, size)?);

    let site = site("busy")?;
    let _open = busy::fill(&site, size)?;
    let how =
        format!("`--pid`, with {} sockets in TIME_WAIT and {} established", size.waiting, size.established);
    let seen = with_agent(&site, size.faults, Signal::SIGTERM)?;
    results.moments.extend(on_and_off(&how, Some(Subject::BusyStart), &seen));
    Ok(())
}

/// The agent on a site's application, ended by that signal, so many times.
fn with_agent(site: &Site, times: usize, signal: Signal) -> Result<Vec<Seen>> {
    repeat(times, || {
        let start = || site.run(&experiment("moment"), &[]);
        watch(&site.client, site.v4(), start, |agent| end(agent, signal))
    })
}

fn repeat(times: usize, mut one: impl FnMut() -> Result<Seen>) -> Result<Vec<Seen>> {
    (0..times).map(|_| one()).collect()
}

/// Sends the signal; what is left to do then is done when the clients are gone.
fn end(agent: Agent, signal: Signal) -> Result<End> {
    agent.signal(signal)?;
    Ok(Box::new(move || {
        if signal == Signal::SIGKILL {
            drop(agent);
            // Its keeper ends the fault.
            let gone = || Ok(agent::status()?.faults.is_empty());
            return wait::until("the keeper to end", std::time::Duration::from_secs(20), gone).map(drop);
        }
        agent.ended().map(drop)
    }))
}

fn on_and_off(how: &str, subject: Option<Subject>, seen: &[Seen]) -> [Moment; 2] {
    [(When::On, on as fn(&Seen) -> f64), (When::Off, off)].map(|(what, time)| Moment {
        what,
        subject,
        how: how.to_owned(),
        times: seen.iter().map(time).collect(),
        note: lost(seen),
    })
}

fn on(seen: &Seen) -> f64 {
    seen.on
}

fn off(seen: &Seen) -> f64 {
    seen.off
}

fn killed(how: &str, seen: &[Seen]) -> Moment {
    let times = seen.iter().map(|seen| seen.real).collect();
    Moment { what: When::Killed, subject: None, how: how.to_owned(), times, note: lost(seen) }
}

/// Requests without an answer, if there were some.
fn lost(seen: &[Seen]) -> Option<String> {
    let lost: usize = seen.iter().map(|seen| seen.lost).sum();
    (lost > 0).then(|| format!("{lost} requests in {} faults got no answer", seen.len()))
}

/// The only container's or the task's agent, from the instance's namespace.
fn inject(instance: &httpfault_tests::docker::Instance, target: [&str; 2], more: &[&str]) -> Result<Agent> {
    let mut words = agent::run_args(target, &experiment("moment"), more);
    words.push("--docker-socket".to_owned());
    words.push(instance.docker_socket().display().to_string());
    // Started from a thread that is in the namespace, so that no other program is executed before it.
    instance.namespace().run(|| Agent::start(agent::agent(words)?)).context("starting the agent")
}
