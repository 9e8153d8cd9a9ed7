//! The fault at one target, from the first socket to the last: made, proved, kept alive, ended.

mod listen;

use std::{
    iter,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, anyhow, ensure};
use httpfault_common::{
    abi::counter,
    contract::{Counters, InjectedTarget, Outcome, Problem, RunSpec, TargetReport},
};
use httpfault_responder::FinishReport;
use tokio::{
    io::{Interest, unix::AsyncFd},
    task::{block_in_place, spawn_blocking},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    causes,
    clock::Deadline,
    datapath::{Datapath, Responders, Settings},
    existing::{Job, Tally},
    keeper::{Existing, Keeper},
    lease::{Heart, Lease},
    preflight::Target,
    probe,
    responder::{Place, Responder},
    sockets, sys,
};

/// How long open connections have to end after the hooks are off.
const GRACE: Duration = Duration::from_secs(2);
/// How long handshakes that were under way when the hooks came off have to end, and how often they are looked at. Those
/// of clients that say nothing take a second (the responder's listening.rs).
const HANDSHAKES: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A fault that is on.
pub(crate) struct Fault {
    target: Target,
    datapath: Arc<Mutex<Datapath>>,
    responder: Place,
    lease: Arc<Lease>,
    deadline: Deadline,
    gone: AsyncFd<std::os::fd::OwnedFd>,
    existing: Existing,
    spec: Arc<RunSpec>,
}

/// What a run gives to each of its faults.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) spec: Arc<RunSpec>,
    pub(crate) heart: Arc<Heart>,
    pub(crate) keeper: Keeper,
    pub(crate) responder: Responder,
    pub(crate) log_steering: bool,
    /// Cancelled when the run is to end before everything is injected.
    pub(crate) stop: CancellationToken,
}

/// What stands before the first hook.
struct Prepared {
    target: Target,
    responders: Responders,
    datapath: Datapath,
    gone: AsyncFd<std::os::fd::OwnedFd>,
}

/// Why a fault is over while the others go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Deadline,
    /// The target's process has ended.
    Gone,
    /// Its lease ran out before it was renewed.
    Lapsed,
    /// The process that answers requests has ended.
    Unanswered,
}

/// What is left of a fault that has ended.
pub(crate) struct Ended {
    pub(crate) report: TargetReport,
    pub(crate) warnings: Vec<String>,
}

impl Fault {
    /// Puts the fault on and proves it. On an error everything that was done is undone again.
    pub(crate) async fn inject(target: Target, place: Place, run: &Run) -> Result<Self, InjectedTarget> {
        let report = target.report();
        Self::try_inject(target, place, run).await.map_err(|why| {
            let problem = Problem {
                subject: report.target.clone(),
                problem: format!("{why:#}"),
                next: "run `httpfault-agent check` with the same arguments".into(),
            };
            InjectedTarget { error: Some(problem), ..report }
        })
    }

    async fn try_inject(target: Target, place: Place, run: &Run) -> anyhow::Result<Self> {
        let mut existing = run.keeper.find(job(&target, run)).await?;
        let preparing = run.clone();
        let prepared = spawn_blocking(move || Prepared::prepare(target, &preparing));
        let Prepared { target, responders, datapath, gone } =
            prepared.await.context("the injection was abandoned")??;
        // Ready before steering: the sockets listen and the scope is written before the first hook is attached.
        let token = format!("{:032x}", fastrand::u128(..));
        let destinations = probe::destinations(
            &target.scope,
            run.spec.port,
            responders.v4.is_some(),
            responders.v6.is_some(),
        );
        place
            .start(responders.into_descriptors(), datapath.sent()?, &target.scope, &token)
            .await
            .context("starting the responder")?;
        existing.serve_with(place.adopter());
        let mut fault = Self {
            target,
            lease: run.heart.lease(datapath.lease()?, place.stats()),
            datapath: Arc::new(Mutex::new(datapath)),
            responder: place,
            deadline: Deadline::after(Duration::from_secs(run.spec.duration_secs)),
            gone,
            existing,
            spec: Arc::clone(&run.spec),
        };
        let proved = tokio::select! {
            proved = fault.steer(destinations, &token) => proved,
            () = run.stop.cancelled() => Err(anyhow!("the run was ended while it was being injected")),
        };
        if let Err(why) = proved {
            fault.end().await;
            return Err(why);
        }
        Ok(fault)
    }

    /// From the commit point, the first hook, to the proof.
    async fn steer(&mut self, destinations: Vec<SocketAddr>, token: &str) -> anyhow::Result<()> {
        // Its time counts from here, not from when the run began.
        self.deadline = Deadline::after(Duration::from_secs(self.spec.duration_secs));
        self.lease.set_deadline(self.deadline.boot_ns);
        block_in_place(|| self.datapath().attach(&self.target.netns, &self.target.client_cgroups))?;

        let expected = probe::Expected { status: self.spec.fault.status, token };
        for destination in destinations {
            let announce = |local| self.datapath().set_probe(Some(local));
            let socket = block_in_place(|| probe::prepare(&self.target.netns, destination, announce))?;
            let answered = probe::ask(socket, destination, &expected).await;
            // Forgotten before anything else, so that nobody can use it.
            self.datapath().set_probe(None)?;
            answered.with_context(|| match self.target.lookups.join(", ") {
                none if none.is_empty() => "proving the fault".to_owned(),
                others => format!("proving the fault; other sk_lookup programs run before it: {others}"),
            })?;
        }
        self.responder.end_probing();
        self.existing.start().await
    }

    /// As it was asked for.
    pub(crate) fn label(&self) -> &str {
        &self.target.label
    }

    pub(crate) fn report(&self) -> InjectedTarget {
        self.target.report()
    }

    /// When it ends by itself.
    pub(crate) fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Returns when there is a reason to end it.
    pub(crate) async fn over(&self) -> Over {
        tokio::select! {
            () = self.responder.gone() => Over::Unanswered,
            () = self.lease.lapsed() => Over::Lapsed,
            () = tokio::time::sleep(self.deadline.remaining()) => Over::Deadline,
            // A pidfd becomes readable when its process ends; an error here can only mean that it can't be watched.
            _readable = self.gone.readable() => Over::Gone,
        }
    }

    /// Prints what the kernel programs logged since the last call.
    pub(crate) fn print_log(&self) {
        self.datapath().print_log();
    }

    /// Requests answered with the fault, and connections that are open now.
    pub(crate) fn pulse(&self) -> (u64, u64) {
        let stats = self.responder.stats();
        (stats.faulted(), stats.open_connections())
    }

    /// What was seen so far.
    pub(crate) fn counters(&self) -> Counters {
        let kernel = self.datapath().counters();
        let mut counters = Counters {
            connections_inbound: kernel.get(counter::STEERED),
            connections_in_task: kernel.get(counter::REDIRECTED),
            passed_open: [counter::PASSED_HEARTBEAT, counter::PASSED_NO_RESPONDER, counter::PASSED_ASSIGN]
                .map(|index| kernel.get(index))
                .iter()
                .sum(),
            other_ports: kernel.get(counter::OTHER_PORT),
            ..Counters::default()
        };
        self.existing.tally().fill(&mut counters);
        self.responder.stats().fill(&mut counters);
        counters
    }

    /// The current state, for `status`.
    pub(crate) fn target_report(&self) -> TargetReport {
        let counters = self.counters();
        let outcome = if counters.faulted > 0 { Outcome::Faulted } else { Outcome::NoTraffic };
        TargetReport { target: self.target.label.clone(), outcome, counters, causes: Vec::new(), error: None }
    }

    /// Takes the fault off: hooks first, then the connections that were given to the responder.
    pub(crate) async fn end(mut self) -> Ended {
        self.lease.stop();
        let kernel_side = self.counters();
        self.existing.over();
        self.datapath().detach();
        let settled = self.existing.settle().await;
        self.responder.leave();
        // A listener that closes resets the handshakes that are on their way to it.
        let _at_most = timeout(HANDSHAKES, self.handshakes_over()).await;
        let finished = self.responder.finish(GRACE).await;

        let mut counters = kernel_side;
        self.responder.stats().fill(&mut counters);
        let existing = self.existing.tally();
        existing.fill(&mut counters);
        let outcome = if counters.faulted > 0 { Outcome::Faulted } else { Outcome::NoTraffic };
        let causes = if outcome == Outcome::NoTraffic {
            causes::of_no_traffic(&counters, self.spec.fault.percent)
        } else {
            Vec::new()
        };
        let report =
            TargetReport { target: self.target.label.clone(), outcome, counters, causes, error: None };
        let mut warnings = cut(&report.target, finished, self.responder.stats().open_connections());
        warnings.extend(of_existing(&report.target, &existing, settled));
        // Without traffic it is a cause.
        if report.counters.proxy_protocol > 0 && report.outcome == Outcome::Faulted {
            let (target, count) = (&report.target, report.counters.proxy_protocol);
            warnings.push(format!("{target}: {count} {}", causes::PROXY_PROTOCOL));
        }
        Ended { warnings, report }
    }

    /// Returns when no handshake for the target's port is under way in its namespace.
    async fn handshakes_over(&self) {
        while sockets::handshakes(&self.target.netns, self.spec.port).unwrap_or(false) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn datapath(&self) -> MutexGuard<'_, Datapath> {
        self.datapath.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connections that had to be cut, because the responder that carried them ends.
fn cut(target: &str, finished: Option<FinishReport>, open: u64) -> Vec<String> {
    let Some(finished) = finished else {
        return vec![format!("{target}: {open} connection(s) were cut, because what served them has ended")];
    };
    let kinds = [
        (finished.cut_passing, "that were passed through to the application (TLS, not HTTP, upgraded)"),
        (finished.cut_serving, "in the middle of a response"),
    ];
    let cut = kinds.into_iter().filter(|(number, _)| *number > 0);
    cut.map(|(number, kind)| format!("{target}: closed {number} connection(s) {kind}")).collect()
}

/// What a reader of the report must know of existing connections.
fn of_existing(target: &str, tally: &Tally, settled: anyhow::Result<()>) -> Vec<String> {
    let mut warnings = Vec::new();
    if tally.escaped > 0 {
        let escaped = tally.escaped;
        warnings.push(format!(
            "{target}: {escaped} request(s) escaped the fault over connections from before it"
        ));
    }
    if tally.cut > 0 {
        let cut = tally.cut;
        warnings.push(format!(
            "{target}: {cut} existing connection(s) could not be given back in time and were reset"
        ));
    }
    if tally.http2_busy > 0 {
        let busy = tally.http2_busy;
        warnings.push(format!(
            "{target}: {busy} existing HTTP/2 connection(s) never paused, so they could not be drained"
        ));
    }
    match (&tally.problem, tally.unwatched) {
        (None, _) => {}
        (Some(why), 0) => warnings.push(format!("{target}: existing connections: {why}")),
        (Some(why), unwatched) => {
            warnings.push(format!("{target}: {unwatched} existing connection(s) were left alone: {why}"));
        }
    }
    warnings.extend(settled.err().map(|why| format!("{target}: {why:#}")));
    warnings
}

/// What the keeper does about the connections that the target's clients hold.
fn job(target: &Target, run: &Run) -> Job {
    let spec = &*run.spec;
    Job {
        pid: target.process.pid,
        cgroup: target.cgroup.clone(),
        scope: target.scope.clone(),
        port: spec.port,
        mode: spec.existing_connections,
        at_once: spec.reset_at_once,
        agents: iter::once(std::process::id()).chain(run.responder.pid()).collect(),
    }
}

impl Prepared {
    /// Everything before the responder. It waits for threads and the kernel, so it runs where nothing else waits.
    fn prepare(target: Target, run: &Run) -> anyhow::Result<Self> {
        ensure!(!run.stop.is_cancelled(), "the run was ended before it was injected");
        let gone = sys::async_fd(target.process.watch()?, Interest::READABLE)?;
        let responders = listen::bind(&target.netns, run.spec.proxy_port)?;
        let datapath = load(&target, run, &responders)?;
        Ok(Self { target, responders, datapath, gone })
    }
}

fn load(target: &Target, run: &Run, responders: &Responders) -> anyhow::Result<Datapath> {
    let any = responders.v4.as_ref().or(responders.v6.as_ref());
    Datapath::load(&Settings {
        scope: &target.scope,
        port: run.spec.port,
        proxy_port: run.spec.proxy_port,
        // Before 5.14 user space can't read it; the cgroup alone is the scope then.
        netns_cookie: any.and_then(|socket| sys::netns_cookie(socket).ok()).unwrap_or(0),
        responders,
        log_steering: run.log_steering,
    })
}
