//! Does the harm to a fault, and sees the fault end.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use httpfault_common::contract::{Exit, Phase};
use httpfault_tests::{
    agent::{self, Agent, Ended, status_of},
    parts::{Part, Parts},
    site::Site,
    wait,
};
use nix::sys::signal::Signal;

use crate::{
    judge::Cost,
    place,
    plan::{End, Harm, Plan},
    round::Loads,
};

/// Of a process that is starved: stopped, then not.
const STARVED: [Duration; 2] = [Duration::from_millis(90), Duration::from_millis(10)];
/// How long after an interface is up again a first packet may find no way.
const REPLUGGED: Duration = Duration::from_secs(1);
/// A fault that ends by itself, and one that does not, in seconds.
const DURATIONS: [&str; 2] = ["2", "60"];

/// A fault that is over.
pub(crate) struct Done {
    /// For the table.
    pub(crate) what: String,
    /// From when on the application has to answer, where the harm ends the fault.
    pub(crate) ends_at: Option<Instant>,
    pub(crate) costs: Vec<Cost>,
    /// Whether files may be left, for `remove` to take away.
    pub(crate) leaves_files: bool,
}

/// The run that harm is done to.
struct Run<'a> {
    site: &'a mut Site,
    plan: Plan,
    id: &'a str,
    loads: &'a Loads,
}

pub(crate) fn to_a_fault(site: &mut Site, plan: Plan, id: &str, loads: &Loads) -> Result<Done> {
    let mut run = Run { site, plan, id, loads };
    match plan.harm {
        Harm::None => run.unharmed(),
        Harm::KillOne { nth } => run.kill_one(nth),
        Harm::KillAll => run.kill_all(),
        Harm::KillStarting { nth, after } => run.kill_starting(nth, after),
        Harm::KillEnding { nth, after } => run.kill_ending(nth, after),
        Harm::Restart => run.restart(),
        Harm::StopOne { nth, time } => run.stop_one(nth, time),
        Harm::StopAll { time } => run.stop_all(time),
        Harm::RemoveStopped => run.remove_stopped(),
        Harm::Starve { nth, time } => run.starve(nth, time),
        Harm::Crowd { time } => run.meanwhile("busy processors", || crowd(time)),
        Harm::KillTarget => run.kill_target(),
        Harm::TakeState => run.meanwhile("state directory taken away", place::clear),
        Harm::FullBefore => run.full_before(),
        Harm::FullMeanwhile => {
            let done = run.meanwhile("disk full", place::fill)?;
            place::empty()?;
            Ok(done)
        }
        Harm::Unplug { target, time } => run.unplug(target, time),
    }
}

impl Done {
    /// Nothing may be lost, nothing stays.
    fn free(what: impl Into<String>) -> Self {
        Self { what: what.into(), ends_at: None, costs: Vec::new(), leaves_files: false }
    }

    /// What was in the hands of the killed processes is lost.
    fn killed(what: String, moment: Instant, parts: &[&Part]) -> Self {
        // The keeper has no client's request.
        let served = parts.iter().any(|part| !part.is_keeper());
        let costs = if served { vec![Cost::of_a_kill(moment)] } else { Vec::new() };
        Self { ends_at: served.then_some(moment), costs, ..Self::free(what) }
    }
}

impl Run<'_> {
    fn start(&self) -> Result<Agent> {
        let Plan { mode, harm, end, forward, .. } = self.plan;
        let ends_by_itself = end == End::Deadline || harm == Harm::FullBefore;
        let duration = DURATIONS[usize::from(!ends_by_itself)];
        let body = if forward { "false" } else { "true" };
        let more =
            ["--existing-connections", mode.word(), "--duration", duration, "--modify-response-body", body];
        self.site.run(self.id, &more)
    }

    /// A fault that is on and was seen by clients.
    fn on(&self) -> Result<Agent> {
        let mut agent = self.start()?;
        agent.injected()?;
        self.loads.await_faults(self.plan.faults)?;
        Ok(agent)
    }

    /// Sees the fault end, as the plan says if it does not by itself.
    fn end(&self, agent: Agent) -> Result<Ended> {
        let parts = Parts::of(&agent)?;
        let ended = match self.plan.end {
            End::Deadline => agent.ended()?,
            End::Terminate => agent.terminate()?,
            End::Interrupt => {
                agent.signal(Signal::SIGINT)?;
                agent.ended()?
            }
            End::Remove => {
                let (code, report) = agent::remove(&["--experiment-id", self.id])?;
                ensure!((code, report.exit) == (Some(0), Exit::Done), "remove: {report:?}");
                // Not later than that: `remove` waits for the end.
                ensure!(status_of(self.id)?.is_none(), "remove said that it is over");
                agent.ended()?
            }
        };
        parts.await_end()?;
        ensure!(
            !ended.code().is_ok_and(|code| code == i32::from(u8::from(Exit::LeftBehind))),
            "something was left behind: {ended:?}"
        );
        Ok(ended)
    }

    /// The fault goes on whatever is done.
    fn meanwhile(&self, what: &str, harm: impl FnOnce() -> Result<()>) -> Result<Done> {
        let agent = self.on()?;
        harm()?;
        self.loads.await_answers(10)?;
        self.end(agent)?;
        Ok(Done::free(what))
    }

    fn unharmed(&self) -> Result<Done> {
        let code = self.end(self.on()?)?.code()?;
        let expected = match self.plan.end {
            End::Deadline | End::Remove => Exit::Done,
            End::Terminate | End::Interrupt => Exit::Aborted,
        };
        ensure!(code == i32::from(u8::from(expected)), "it ended with {code}, not {expected:?}");
        Ok(Done::free("none"))
    }

    fn kill_one(&self, nth: usize) -> Result<Done> {
        let agent = self.on()?;
        let parts = Parts::of(&agent)?;
        let part = parts.nth(nth);
        let moment = Instant::now();
        part.signal(Signal::SIGKILL)?;
        self.loads.await_answers(20)?;
        self.end(agent)?;
        parts.await_end()?;
        Ok(Done::killed(format!("SIGKILL of {}", part.name), moment, &[part]))
    }

    fn kill_all(&self) -> Result<Done> {
        let agent = self.on()?;
        let parts = Parts::of(&agent)?;
        let moment = Instant::now();
        parts.signal(Signal::SIGKILL)?;
        agent.ended()?;
        parts.await_end()?;
        let done = Done::killed("SIGKILL of all".into(), moment, &[parts.nth(0)]);
        Ok(Done { leaves_files: true, ..done })
    }

    fn kill_starting(&self, nth: usize, after: Duration) -> Result<Done> {
        let agent = self.start()?;
        wait::pause(after);
        let parts = Parts::of(&agent)?;
        let part = parts.nth(nth);
        let moment = Instant::now();
        part.signal(Signal::SIGKILL)?;
        agent.terminate()?;
        parts.await_end()?;
        let done = Done::killed(format!("SIGKILL of {}, starting", part.name), moment, &[part]);
        Ok(Done { leaves_files: true, ..done })
    }

    fn kill_ending(&self, nth: usize, after: Duration) -> Result<Done> {
        let agent = self.on()?;
        let parts = Parts::of(&agent)?;
        let part = parts.nth(nth);
        agent.signal(Signal::SIGTERM)?;
        wait::pause(after);
        let moment = Instant::now();
        part.signal(Signal::SIGKILL)?;
        agent.ended()?;
        parts.await_end()?;
        Ok(Done::killed(format!("SIGKILL of {}, ending", part.name), moment, &[part]))
    }

    fn restart(&self) -> Result<Done> {
        let agent = self.on()?;
        let parts = Parts::of(&agent)?;
        let first = parts.nth(0);
        let moment = Instant::now();
        first.signal(Signal::SIGKILL)?;
        agent.ended()?;
        let agent = self.on().context("the same experiment again")?;
        let status = status_of(self.id)?.context("no status of the second run")?;
        ensure!(status.phase == Phase::On, "the second run is {status:?}");
        parts.await_end()?;
        ensure!(status_of(self.id)?.is_some(), "the first run swept the second one's state");
        self.end(agent)?;
        let done = Done::killed("SIGKILL, and the same again".into(), moment, &[first]);
        Ok(Done { ends_at: None, ..done })
    }

    fn stop_one(&self, nth: usize, time: Duration) -> Result<Done> {
        let agent = self.on()?;
        let parts = Parts::of(&agent)?;
        let part = parts.nth(nth);
        part.signal(Signal::SIGSTOP)?;
        wait::pause(time);
        part.signal(Signal::SIGCONT)?;
        self.end(agent)?;
        Ok(Done::free(format!("SIGSTOP of {} for a while", part.name)))
    }

    fn stop_all(&self, time: Duration) -> Result<Done> {
        let agent = self.on()?;
        let parts = Parts::of(&agent)?;
        parts.signal(Signal::SIGSTOP)?;
        wait::pause(time);
        parts.signal(Signal::SIGCONT)?;
        self.end(agent)?;
        Ok(Done::free("SIGSTOP of all for a while"))
    }

    /// What was accepted before the stop is lost when it is killed.
    fn remove_stopped(&self) -> Result<Done> {
        let agent = self.on()?;
        let parts = Parts::of(&agent)?;
        let moment = Instant::now();
        parts.nth(0).signal(Signal::SIGSTOP)?;
        let (code, report) = agent::remove(&["--experiment-id", self.id])?;
        ensure!((code, report.exit) == (Some(0), Exit::Done), "remove of a stopped agent: {report:?}");
        agent.ended()?;
        parts.await_end()?;
        let killed = Cost::of_a_kill(Instant::now());
        let costs = vec![Cost { from: moment, ..killed }];
        Ok(Done { ends_at: Some(moment), costs, ..Done::free("SIGSTOP, and removed") })
    }

    fn starve(&self, nth: usize, time: Duration) -> Result<Done> {
        let agent = self.on()?;
        let parts = Parts::of(&agent)?;
        let part = parts.nth(nth);
        let start = Instant::now();
        while start.elapsed() < time {
            for (signal, pause) in [Signal::SIGSTOP, Signal::SIGCONT].into_iter().zip(STARVED) {
                part.signal(signal)?;
                wait::pause(pause);
            }
        }
        self.end(agent)?;
        Ok(Done::free(format!("{} starved", part.name)))
    }

    /// Nobody answers until it is back.
    fn kill_target(&mut self) -> Result<Done> {
        let agent = self.on()?;
        let parts = Parts::of(&agent)?;
        let from = Instant::now();
        self.site.crash()?;
        let ended = agent.ended()?;
        parts.await_end()?;
        ensure!(ended.code()? != i32::from(u8::from(Exit::LeftBehind)), "left behind: {ended:?}");
        self.site.restart()?;
        let cost = Cost { from, until: Instant::now(), each: usize::MAX };
        Ok(Done { costs: vec![cost], ..Done::free("container's process killed") })
    }

    /// It refuses, or works without.
    fn full_before(&self) -> Result<Done> {
        place::fill()?;
        let ended = self.start()?.ended()?;
        place::empty()?;
        match ended.code()? {
            0..=2 => Ok(Done::free("disk full before")),
            code => bail!("it ended with {code}: {ended:?}"),
        }
    }

    /// Who asks meanwhile gets no answer.
    fn unplug(&self, target: bool, time: Duration) -> Result<Done> {
        let agent = self.on()?;
        let from = Instant::now();
        self.site.plug(target, false)?;
        wait::pause(time);
        self.site.plug(target, true)?;
        let until = Instant::now() + REPLUGGED;
        self.loads.await_answers(10)?;
        self.end(agent)?;
        let what = if target { "target's interface down" } else { "clients' interface down" };
        Ok(Done { costs: vec![Cost { from, until, each: usize::MAX }], ..Done::free(what) })
    }
}

/// Twice as many busy threads as processors.
fn crowd(time: Duration) -> Result<()> {
    let threads = thread::available_parallelism().context("counting processors")?.get() * 2;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        wait::pause(time);
        over.store(true, Ordering::Relaxed);
    });
    Ok(())
}
