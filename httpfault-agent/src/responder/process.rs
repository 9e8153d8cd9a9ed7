//! The responder's own process.

use std::{
    collections::HashMap,
    ffi::CStr,
    fs::File,
    io,
    net::{SocketAddr, TcpListener as StdListener},
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use httpfault_common::contract::RunSpec;
use httpfault_responder::{Adopted, Config, Destination, Ending, Limits, Responder};
use nix::sys::signal::{SigSet, Signal};
use rustix::process::setsid;
use tokio::{
    net::{TcpListener, UnixStream},
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    Child,
    confine::Confinement,
    message::{Order, Report, Start},
    share,
    upstream::{InNamespace, Inside},
};
use crate::{
    channel::{self, Channel},
    clock::boot_ns,
    datapath::Sent,
    existing::Released,
    netns::Netns,
    signs::Signs,
    sys,
};

/// Of the process and of its threads.
const NAME: &CStr = c"httpfault-http";

/// How often it says that it makes progress, and looks whether the agent does.
const BEAT: Duration = Duration::from_millis(200);
/// How long the keeper has to end what it carries when the agent is gone. It needs milliseconds, and half a second for a
/// request that never becomes whole.
const CARRIED: Duration = Duration::from_secs(1);
/// How long open connections have to end then.
const LAST: Duration = Duration::from_millis(1500);

/// Targets whose namespaces were entered, and those where that failed.
type Insides = HashMap<u32, Result<Inside, String>>;

/// The life of the responder.
pub(crate) fn run(child: Child, spec: &RunSpec) -> ExitCode {
    match try_run(child, spec) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            log::error!("the responder: {why:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(Child { channel, signs }: Child, spec: &RunSpec) -> anyhow::Result<()> {
    sys::close_all_but(&channel).context("closing descriptors of others")?;
    separate()?;
    let limits = share::limits(spec.targets.len(), sys::raise_file_limit());
    // Asks for what can't be asked any more later.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let confinement = Arc::new(Confinement::new(spec.port)?);
    let Some(insides) = enter(&channel, &confinement, signs)? else { return Ok(()) };
    if let Err(why) = confinement.apply() {
        channel::send_now(&channel, &Report::Unconfined(format!("{why:#}")))?;
        return Err(why).context("giving up privileges");
    }
    // Its threads inherit what this one may do.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(processors)
        .thread_name(NAME.to_string_lossy())
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(async {
        let channel = Arc::new(Channel::new(channel)?);
        Desk::new(Arc::clone(&channel), spec.clone(), limits, insides, signs).serve(&channel).await
    })
}

/// A session of its own: what ends the agent, from a terminal for example, is the agent's to carry out, in order.
fn separate() -> anyhow::Result<()> {
    setsid().context("leaving the agent's session")?;
    let ignored = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
    ignored.into_iter().collect::<SigSet>().thread_block().context("blocking signals")?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(rustix::thread::set_name(NAME)?)
}

/// Enters the namespaces that are named before everything is given up; `None` is the agent's end.
fn enter(channel: &OwnedFd, confinement: &Arc<Confinement>, signs: Signs) -> anyhow::Result<Option<Insides>> {
    let mut insides = Insides::new();
    while let Some((order, descriptors)) = channel::wait_for::<Order>(channel)? {
        signs.responder_pulse.set(boot_ns());
        match order {
            Order::Enter { target } => {
                let confinement = Arc::clone(confinement);
                let inside =
                    descriptors.into_iter().next().context("no namespace came along").and_then(|netns| {
                        Inside::enter(Netns::try_from(netns)?, move || confinement.apply())
                    });
                insides.insert(target, inside.map_err(|why| format!("{why:#}")));
            }
            Order::Confine => return Ok(Some(insides)),
            early @ (Order::Start(_)
            | Order::EndProbing { .. }
            | Order::Leave { .. }
            | Order::Finish { .. }
            | Order::Forget { .. }
            | Order::Adopt { .. }
            | Order::Release { .. }) => bail!("{early:?} came too early"),
        }
    }
    Ok(None)
}

/// Connections of the application that are served here, by their numbers.
type Adoptions = Arc<Mutex<HashMap<u64, Arc<Adopted>>>>;

/// Where orders arrive and reports leave.
struct Desk {
    reports: mpsc::UnboundedSender<Report>,
    spec: RunSpec,
    /// Of each target.
    limits: Limits,
    signs: Signs,
    insides: Insides,
    serving: HashMap<u32, Responder>,
    adoptions: Adoptions,
}

impl Desk {
    fn new(channel: Arc<Channel>, spec: RunSpec, limits: Limits, insides: Insides, signs: Signs) -> Self {
        let (reports, mut outbox) = mpsc::unbounded_channel::<Report>();
        tokio::spawn(async move {
            while let Some(report) = outbox.recv().await {
                // An agent that is gone needs no report.
                if channel.send(&report, &[]).await.is_err() {
                    return;
                }
            }
        });
        // A task like those that serve, so that it stops when they do.
        tokio::spawn(async move {
            loop {
                signs.responder_pulse.set(boot_ns());
                tokio::time::sleep(BEAT).await;
            }
        });
        Self {
            reports,
            spec,
            limits,
            signs,
            insides,
            serving: HashMap::new(),
            adoptions: Adoptions::default(),
        }
    }

    /// Carries orders out until the agent is gone. While the agent is stopped, or wedged, requests are the application's.
    async fn serve(mut self, channel: &Channel) -> anyhow::Result<()> {
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ended = loop {
            tokio::select! {
                received = channel.receive() => match received {
                    Ok(Some((order, descriptors))) => self.carry_out(order, descriptors),
                    Ok(None) => break Ok(()),
                    Err(why) => break Err(why.into()),
                },
                _ = beats.tick() => if boot_ns() >= self.signs.agent_until.get() {
                    self.serving.values().for_each(Responder::leave);
                },
            }
        };
        self.carried().await;
        let mut ending = JoinSet::new();
        for responder in std::mem::take(&mut self.serving).into_values() {
            ending.spawn(responder.finish(Duration::ZERO));
        }
        let all = async { while ending.join_next().await.is_some() {} };
        let _at_most = timeout(LAST, all).await;
        ended
    }

    /// The agent is gone. Requests that the kernel has eaten are on their way; the keeper ends each stream behind them.
    async fn carried(&self) {
        let all: Vec<Arc<Adopted>> = adoptions(&self.adoptions).values().map(Arc::clone).collect();
        let _at_most = timeout(CARRIED, async {
            for adopted in all {
                adopted.ended().await;
            }
        })
        .await;
    }

    fn carry_out(&mut self, order: Order, descriptors: Vec<OwnedFd>) {
        match order {
            Order::Start(start) => {
                let target = start.target;
                let error = self.start(start, descriptors).err().map(|why| format!("{why:#}"));
                self.report(Report::Started { target, error });
            }
            Order::EndProbing { target } => {
                if let Some(responder) = self.serving.get(&target) {
                    responder.end_probing();
                }
            }
            Order::Leave { target } => {
                if let Some(responder) = self.serving.get(&target) {
                    responder.leave();
                }
            }
            Order::Finish { target, grace_ms } => self.finish(target, Duration::from_millis(grace_ms)),
            Order::Forget { target } => {
                self.insides.remove(&target);
                self.serving.remove(&target);
            }
            Order::Adopt { target, connection, origin } => {
                let stream = descriptors.into_iter().next().context("no stream came along");
                // The keeper learns it from the end of the stream.
                if let Err(why) = stream.and_then(|stream| self.adopt(target, connection, origin, stream)) {
                    log::warn!("serving an existing connection: {why:#}");
                }
            }
            Order::Release { connection } => self.release(connection),
            Order::Enter { .. } | Order::Confine => log::warn!("an order came too late"),
        }
    }

    fn start(&mut self, start: Start, descriptors: Vec<OwnedFd>) -> anyhow::Result<()> {
        let Start { target, loopback4, loopback6, token } = start;
        let inside = self.insides.remove(&target).context("its namespace was not entered")?;
        let mut descriptors = descriptors.into_iter();
        let sent = Sent::map(descriptors.next().context("no map came along")?).context("mapping a map")?;
        let listeners = descriptors.map(|socket| TcpListener::from_std(StdListener::from(socket)));
        let listeners = listeners.collect::<io::Result<Vec<_>>>().context("taking a listening socket")?;
        let inside = inside.map_err(|why| anyhow!("entering its namespace: {why}"))?;
        let place = usize::try_from(target).ok().and_then(|target| self.signs.stats.get(target));
        let config = Config {
            fault: self.spec.fault.clone(),
            experiment_id: self.spec.experiment_id.clone(),
            destination: Destination {
                port: self.spec.port,
                proxy_port: self.spec.proxy_port,
                loopback4,
                loopback6,
            },
            upstream: Arc::new(InNamespace::new(inside, sent)),
            probe_token: token,
            limits: self.limits,
            stats: place.context("there is no place for its counters")?,
        };
        let responder = httpfault_responder::start(listeners, config).context("starting to accept")?;
        self.serving.insert(target, responder);
        Ok(())
    }

    fn finish(&mut self, target: u32, grace: Duration) {
        let Some(responder) = self.serving.remove(&target) else { return };
        let reports = self.reports.clone();
        tokio::spawn(async move {
            let report = responder.finish(grace).await;
            // An agent that is gone needs no report.
            let _gone = reports.send(Report::Finished { target, report });
        });
    }

    fn adopt(&self, target: u32, connection: u64, origin: SocketAddr, stream: OwnedFd) -> anyhow::Result<()> {
        let adopter = self.serving.get(&target).context("its fault is over")?.adopter();
        let stream = UnixStream::from_std(StdStream::from(stream))?;
        let adopted = Arc::new(adopter.adopt(stream, origin));
        adoptions(&self.adoptions).insert(connection, Arc::clone(&adopted));
        let (all, reports) = (Arc::clone(&self.adoptions), self.reports.clone());
        tokio::spawn(async move {
            let ending = adopted.ended().await;
            adoptions(&all).remove(&connection);
            if ending == Ending::Closed {
                let _gone = reports.send(Report::Closed { connection });
            }
        });
        Ok(())
    }

    fn release(&self, connection: u64) {
        let asked = adoptions(&self.adoptions).get(&connection).map(Arc::clone);
        let reports = self.reports.clone();
        tokio::spawn(async move {
            let released = match asked {
                None => Released::Ended,
                Some(asked) => match asked.release().await {
                    httpfault_responder::Released::AtRest => Released::AtRest,
                    httpfault_responder::Released::Busy => Released::Busy,
                    httpfault_responder::Released::Ended => Released::Ended,
                },
            };
            let _gone = reports.send(Report::Released { connection, released });
        });
    }

    fn report(&self, report: Report) {
        // An agent that is gone needs no report.
        let _gone = self.reports.send(report);
    }
}

fn adoptions(all: &Adoptions) -> MutexGuard<'_, HashMap<u64, Arc<Adopted>>> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}
