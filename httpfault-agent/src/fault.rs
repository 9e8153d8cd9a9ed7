//! The fault at one target, from the first socket to the last: made, proved, kept alive, ended.

mod listen;
mod upstream;
mod pooled;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, anyhow, ensure};
use httpfault_common::{
    abi::counter,
    contract::{
        Counters, ExistingConnections, InjectedTarget, LeftBehind, Outcome, Problem, RunSpec, TargetReport,
    },
};
use httpfault_responder::{Config, Destination, FinishReport, Limits, Responder};
use tokio::{
    io::unix::AsyncFd,
    task::{block_in_place, spawn_blocking},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use pooled::Pooled;

use crate::{
    causes,
    cgroup::Unified,
    clock::Deadline,
    datapath::{Datapath, Responders, Settings},
    existing::Finder,
    lease::{Heart, Lease},
    netns::SocketMaker,
    preflight::Target,
    probe, sockets,
    state::Claim,
    sys,
};

/// How long open connections have to end after the hooks are off.
const GRACE: Duration = Duration::from_secs(2);
/// How long handshakes that were under way when the hooks came off have to end, and how often they are looked at.
const HANDSHAKES: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A fault that is on.
pub(crate) struct Fault {
    target: Target,
    datapath: Arc<Mutex<Datapath>>,
    responder: Responder,
    lease: Arc<Lease>,
    deadline: Deadline,
    gone: AsyncFd<std::os::fd::OwnedFd>,
    pooled: Pooled,
    spec: Arc<RunSpec>,
}

/// What a run gives to each of its faults.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) spec: Arc<RunSpec>,
    pub(crate) heart: Arc<Heart>,
    pub(crate) claim: Arc<Claim>,
    pub(crate) log_steering: bool,
    /// Cancelled when the run is to end before everything is injected.
    pub(crate) stop: CancellationToken,
}

/// What proving the fault takes.
struct Prepared {
    sockets: SocketMaker,
    responders: Responders,
    token: String,
}

/// Why a fault is over while the others go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Deadline,
    /// The target's process has ended.
    Gone,
    /// Its lease ran out before it was renewed.
    Lapsed,
}

/// What is left of a fault that has ended.
pub(crate) struct Ended {
    pub(crate) report: TargetReport,
    pub(crate) left_behind: Vec<LeftBehind>,
    pub(crate) warnings: Vec<String>,
}

impl Fault {
    /// Puts the fault on and proves it. On an error everything that was done is undone again.
    pub(crate) async fn inject(target: Target, run: &Run) -> Result<Self, InjectedTarget> {
        let report = target.report();
        Self::try_inject(target, run).await.map_err(|why| {
            let problem = Problem {
                subject: report.target.clone(),
                problem: format!("{why:#}"),
                next: "run `httpfault-agent check` with the same arguments".into(),
            };
            InjectedTarget { error: Some(problem), ..report }
        })
    }

    async fn try_inject(target: Target, run: &Run) -> anyhow::Result<Self> {
        let preparing = run.clone();
        let prepared = spawn_blocking(move || Self::prepare(target, &preparing));
        let (mut fault, prepared) = prepared.await.context("the injection was abandoned")??;
        let proved = tokio::select! {
            proved = fault.steer(run, &prepared) => proved,
            () = run.stop.cancelled() => Err(anyhow!("the run was ended while it was being injected")),
        };
        if let Err(why) = proved {
            let ended = fault.end().await;
            let left: Vec<String> = ended.left_behind.iter().map(|left| left.what.clone()).collect();
            return Err(if left.is_empty() {
                why
            } else {
                why.context(format!("left behind: {}", left.join(", ")))
            });
        }
        Ok(fault)
    }

    /// Everything before the first hook. It waits for threads and the kernel, so it runs where nothing else waits.
    fn prepare(target: Target, run: &Run) -> anyhow::Result<(Self, Prepared)> {
        let spec = &*run.spec;
        ensure!(!run.stop.is_cancelled(), "the run was ended before it was injected");
        let gone = sys::readable(target.process.watch()?)?;
        let responders = listen::bind(&target.netns, spec.proxy_port)?;
        let sockets = target.netns.socket_maker().context("entering the target's network namespace")?;
        let token = format!("{:032x}", fastrand::u128(..));
        let config = Config {
            fault: spec.fault.clone(),
            experiment_id: spec.experiment_id.clone(),
            destination: Destination {
                port: spec.port,
                proxy_port: spec.proxy_port,
                loopback4: target.scope.inside4,
                loopback6: target.scope.inside6,
            },
            upstream: Arc::new(upstream::InNamespace::new(sockets.clone())),
            probe_token: token.clone(),
            limits: Limits::default(),
        };
        // Ready before steering: the sockets listen and the scope is written before the first hook is attached.
        let responder = httpfault_responder::start(listen::accepting(&responders)?, config)
            .context("starting the responder")?;
        let unified = target.cgroup.unified().context("opening the target's cgroup")?;
        let datapath = load(&target, run, unified.as_ref(), &responders)?;
        let pooled = Pooled::find(Finder::new(
            Arc::clone(&target.netns),
            target.cgroup.clone(),
            target.scope.clone(),
            spec.port,
        ))?;
        let lease = run.heart.lease(datapath.lease()?, responder.stats());
        let fault = Self {
            target,
            datapath: Arc::new(Mutex::new(datapath)),
            responder,
            lease,
            deadline: Deadline::after(Duration::from_secs(spec.duration_secs)),
            gone,
            pooled,
            spec: Arc::clone(&run.spec),
        };
        Ok((fault, Prepared { sockets, responders, token }))
    }

    /// From the commit point, the first hook, to the proof.
    async fn steer(&mut self, run: &Run, prepared: &Prepared) -> anyhow::Result<()> {
        let spec = &*run.spec;
        let Prepared { sockets, responders, token } = prepared;
        // Its time counts from here, not from when the run began.
        self.deadline = Deadline::after(Duration::from_secs(spec.duration_secs));
        self.lease.set_deadline(self.deadline.boot_ns);
        block_in_place(|| self.datapath().attach(&self.target.netns, &self.target.client_cgroups))?;

        let (v4, v6) = (responders.v4.is_some(), responders.v6.is_some());
        let expected = probe::Expected { status: spec.fault.status, token };
        for destination in probe::destinations(&self.target.scope, spec.port, v4, v6) {
            let mut announce = |local| self.datapath().set_probe(Some(local));
            let socket = probe::prepare(sockets, destination, &mut announce).await?;
            let answered = probe::ask(socket, destination, &expected).await;
            // Forgotten before anything else, so that nobody can use it.
            self.datapath().set_probe(None)?;
            answered?;
        }
        match spec.existing_connections {
            ExistingConnections::Keep => {}
            ExistingConnections::Drain => self.pooled.start_draining(),
            ExistingConnections::Reset => self.datapath().attach_pooled(
                &self.target.netns,
                &self.target.scope.interfaces,
                &mut |filter| run.claim.register(filter),
            )?,
        }
        Ok(())
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
            existing_reset: kernel.get(counter::RESET),
            passed_open: [counter::PASSED_HEARTBEAT, counter::PASSED_NO_RESPONDER, counter::PASSED_ASSIGN]
                .map(|index| kernel.get(index))
                .iter()
                .sum(),
            other_ports: kernel.get(counter::OTHER_PORT),
            ..Counters::default()
        };
        self.pooled.count(&mut counters);
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
        let mut left_behind = Vec::new();
        self.pooled.stop_draining();
        self.lease.stop();
        let kernel_side = self.counters();
        if let Err(errors) = self.datapath().detach(&self.target.netns) {
            left_behind.extend(errors.into_iter().map(|why| LeftBehind {
                what: format!("a kernel hook of {}", self.target.label),
                error: format!("{why:#}"),
                remove_with: "httpfault-agent remove --all".into(),
            }));
        }
        let reset = self.datapath().reset_clients();
        self.responder.leave();
        // A listener that closes resets the handshakes that are on their way to it.
        let _at_most = timeout(HANDSHAKES, self.handshakes_over()).await;
        let stats = self.responder.stats();
        let finished = self.responder.finish(GRACE).await;

        let mut counters = kernel_side;
        stats.fill(&mut counters);
        if let Err(why) = self.pooled.settle(&reset, &mut counters) {
            // The target is gone, and its connections with it.
            log::info!("counting existing connections: {why:#}");
        }
        let outcome = if counters.faulted > 0 { Outcome::Faulted } else { Outcome::NoTraffic };
        let causes = if outcome == Outcome::NoTraffic {
            causes::of_no_traffic(&counters, self.spec.fault.percent)
        } else {
            Vec::new()
        };
        let report = TargetReport { target: self.target.label, outcome, counters, causes, error: None };
        Ended { warnings: cut(&report.target, &finished), report, left_behind }
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
fn cut(target: &str, finished: &FinishReport) -> Vec<String> {
    let kinds = [
        (finished.cut_passing, "that were passed through to the application (TLS, not HTTP, upgraded)"),
        (finished.cut_serving, "in the middle of a response"),
    ];
    let cut = kinds.into_iter().filter(|(number, _)| *number > 0);
    cut.map(|(number, kind)| format!("{target}: closed {number} connection(s) {kind}")).collect()
}

fn load(
    target: &Target,
    run: &Run,
    unified: Option<&Unified>,
    responders: &Responders,
) -> anyhow::Result<Datapath> {
    let any = responders.v4.as_ref().or(responders.v6.as_ref());
    Datapath::load(&Settings {
        scope: &target.scope,
        port: run.spec.port,
        proxy_port: run.spec.proxy_port,
        cgroup: unified,
        // Before 5.14 user space can't read it; the cgroup alone is the scope then.
        netns_cookie: any.and_then(|socket| sys::netns_cookie(socket).ok()).unwrap_or(0),
        responders,
        with_reset: run.spec.existing_connections == ExistingConnections::Reset,
        log_steering: run.log_steering,
    })
}
