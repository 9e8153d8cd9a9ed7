//! The responder's process: it parses what clients send, so it may do nothing but that.
//!
//! It is forked before any thread exists. While it may still enter network namespaces it makes a thread in each target's;
//! then it gives up every privilege ([`confine`]) and gets the listening sockets. What it counts lies in memory that the
//! agent reads. It ends when the agent does.

mod message;
mod upstream;
mod confine;
mod share;
mod process;

use std::{
    collections::HashMap,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use httpfault_responder::{FinishReport, Stats};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    channel::{self, Channel},
    clock::boot_ns,
    keeper::Keeper,
    netns::Netns,
    scope::Scope,
    signs::Signs,
    sys,
};
use message::{Order, Report, Start};
pub(crate) use process::run;

/// How long it may take to begin with a target. Before that it enters every namespace of the run.
const START_WITHIN: Duration = Duration::from_secs(10);
/// How long it may show no sign of life before it is not waited for any more. The fault is off by then, and what waits for
/// a responder that was stopped gets its answer when that goes on. `remove` waits longer.
const SILENCE: Duration = Duration::from_secs(8);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Which of the two processes this is.
pub(crate) enum Fork {
    Agent(Parent),
    Responder(Child),
}

/// The agent's end.
pub(crate) struct Parent {
    channel: OwnedFd,
    pid: Pid,
    process: OwnedFd,
}

/// The responder's end.
pub(crate) struct Child {
    channel: OwnedFd,
    signs: Signs,
}

/// The responder, as the agent sees it.
#[derive(Clone, Debug)]
pub(crate) struct Responder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    orders: mpsc::UnboundedSender<(Order, Vec<OwnedFd>)>,
    signs: Signs,
    pid: Pid,
    process: OwnedFd,
    next: AtomicU32,
    waiting: Mutex<Waiting>,
    /// Cancelled when its process has ended.
    gone: CancellationToken,
}

/// Who waits for what, by target.
#[derive(Debug, Default)]
struct Waiting {
    started: HashMap<u32, oneshot::Sender<Result<(), String>>>,
    finished: HashMap<u32, oneshot::Sender<FinishReport>>,
    /// Why it ended, if it said so.
    why: Option<String>,
}

/// A target's place in the responder. Dropping it cuts what is served there, and leaves the target's namespace.
#[derive(Debug)]
pub(crate) struct Place {
    target: u32,
    responder: Responder,
    stats: &'static Stats,
}

/// A handle by which a target's responder is given connections that were not accepted.
#[derive(Debug)]
pub(crate) struct Adopter {
    target: u32,
    responder: Responder,
}

/// Makes two processes of this one. No thread may exist yet.
pub(crate) fn fork(signs: Signs) -> anyhow::Result<Fork> {
    let (ours, its) = channel::pair().context("making the responder's channel")?;
    Ok(match sys::fork().context("starting the responder")? {
        None => Fork::Responder(Child { channel: its, signs }),
        Some(pid) => Fork::Agent(Parent {
            channel: ours,
            pid,
            process: pidfd_open(pid, PidfdFlags::NONBLOCK).context("opening the responder")?,
        }),
    })
}

impl Parent {
    /// The process, for whoever outlives the agent.
    pub(crate) fn process(&self) -> anyhow::Result<OwnedFd> {
        self.process.try_clone().context("copying a descriptor")
    }
}

// === impl Responder ===

impl Responder {
    /// Begins to talk to it. Must be called inside a Tokio runtime.
    pub(crate) fn connect(parent: Parent, signs: Signs, keeper: Keeper) -> anyhow::Result<Self> {
        let channel = Arc::new(Channel::new(parent.channel).context("opening the responder's channel")?);
        let (orders, outbox) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            orders,
            signs,
            pid: parent.pid,
            process: parent.process,
            next: AtomicU32::new(0),
            waiting: Mutex::default(),
            gone: CancellationToken::new(),
        });
        tokio::spawn(send(Arc::clone(&channel), outbox));
        tokio::spawn(receive(channel, Arc::clone(&inner), keeper));
        Ok(Self(inner))
    }

    /// Makes a place for a target; before [`Responder::confine`].
    pub(crate) fn enter(&self, netns: &Netns) -> anyhow::Result<Place> {
        let target = self.0.next.fetch_add(1, Ordering::Relaxed);
        let stats = usize::try_from(target).ok().and_then(|target| self.0.signs.stats.get(target));
        let stats = stats.context("there are more targets than were named")?;
        let netns = netns.descriptor().context("copying a descriptor")?;
        self.order(Order::Enter { target }, vec![netns]);
        Ok(Place { target, responder: self.clone(), stats })
    }

    /// Takes every privilege from it.
    pub(crate) fn confine(&self) {
        self.order(Order::Confine, Vec::new());
    }

    /// Its process, while it can be one's: a child of the agent that nobody has waited for.
    pub(crate) fn pid(&self) -> Option<u32> {
        u32::try_from(self.0.pid.as_raw_nonzero().get()).ok()
    }

    /// Returns when its process has ended.
    async fn gone(&self) {
        self.0.gone.cancelled().await;
    }

    /// What it is told while it ends it need not know; whoever waits for an answer learns that it is gone.
    fn order(&self, order: Order, descriptors: Vec<OwnedFd>) {
        let _gone = self.0.orders.send((order, descriptors));
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn why_gone(&self) -> anyhow::Error {
        match &self.waiting().why {
            Some(why) => anyhow!("the process that answers requests could not give up its privileges: {why}"),
            None => anyhow!("the process that answers requests has ended"),
        }
    }

    /// Returns when it is silent for so long that nothing can be expected of it.
    async fn silent(&self) {
        let silence = u64::try_from(SILENCE.as_nanos()).unwrap_or(u64::MAX);
        while boot_ns().saturating_sub(self.0.signs.responder_pulse.get()) < silence {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn kill(&self) {
        if let Err(why) = pidfd_send_signal(&self.0.process, Signal::KILL) {
            log::warn!("ending the process that answers requests, which does not: {why}");
        }
    }
}

async fn send(channel: Arc<Channel>, mut outbox: mpsc::UnboundedReceiver<(Order, Vec<OwnedFd>)>) {
    while let Some((order, descriptors)) = outbox.recv().await {
        // Its end is noticed where its reports are awaited.
        if channel.send(&order, &descriptors).await.is_err() {
            return;
        }
    }
}

async fn receive(channel: Arc<Channel>, inner: Arc<Inner>, keeper: Keeper) {
    let waiting = || inner.waiting.lock().unwrap_or_else(PoisonError::into_inner);
    while let Ok(Some((report, _))) = channel.receive().await {
        match report {
            Report::Unconfined(why) => waiting().why = Some(why),
            Report::Started { target, error } => {
                if let Some(asker) = waiting().started.remove(&target) {
                    let _given_up = asker.send(error.map_or(Ok(()), Err));
                }
            }
            Report::Finished { target, report } => {
                if let Some(asker) = waiting().finished.remove(&target) {
                    let _given_up = asker.send(report);
                }
            }
            Report::Closed { connection } => keeper.closed(connection),
            Report::Released { connection, released } => keeper.released(connection, released),
        }
    }
    let mut waiting = waiting();
    waiting.started.clear();
    waiting.finished.clear();
    drop(waiting);
    inner.gone.cancel();
}

// === impl Place ===

impl Place {
    /// Has the sockets served; they are the responder's alone from here on.
    pub(crate) async fn start(
        &self,
        listeners: impl IntoIterator<Item = OwnedFd>,
        sent: OwnedFd,
        scope: &Scope,
        token: &str,
    ) -> anyhow::Result<()> {
        let (asker, started) = oneshot::channel();
        self.responder.waiting().started.insert(self.target, asker);
        let order = Order::Start(Start {
            target: self.target,
            loopback4: scope.inside4,
            loopback6: scope.inside6,
            token: token.to_owned(),
        });
        self.responder.order(order, [sent].into_iter().chain(listeners).collect());
        let answered = tokio::select! {
            answered = timeout(START_WITHIN, started) => answered,
            () = self.responder.gone() => bail!(self.responder.why_gone()),
        };
        match answered.context("the process that answers requests did not begin within 10 s")? {
            Ok(started) => started.map_err(|why| anyhow!(why)),
            Err(_gone) => Err(self.responder.why_gone()),
        }
    }

    /// What it has counted.
    pub(crate) fn stats(&self) -> &'static Stats {
        self.stats
    }

    /// By which it is given connections of the application.
    pub(crate) fn adopter(&self) -> Adopter {
        Adopter { target: self.target, responder: self.responder.clone() }
    }

    /// Returns when its process has ended.
    pub(crate) async fn gone(&self) {
        self.responder.gone().await;
    }

    /// The agent's own probes are done.
    pub(crate) fn end_probing(&self) {
        self.responder.order(Order::EndProbing { target: self.target }, Vec::new());
    }

    /// The fault is over: further requests are the application's.
    pub(crate) fn leave(&self) {
        self.responder.order(Order::Leave { target: self.target }, Vec::new());
    }

    /// Ends it, and says what became of its connections; `None` if it is gone, or had to be ended by force.
    pub(crate) async fn finish(&self, grace: Duration) -> Option<FinishReport> {
        let (asker, finished) = oneshot::channel();
        self.responder.waiting().finished.insert(self.target, asker);
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.responder.order(Order::Finish { target: self.target, grace_ms }, Vec::new());
        tokio::select! {
            finished = finished => finished.ok(),
            () = self.responder.gone() => None,
            () = self.responder.silent() => {
                self.responder.kill();
                None
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.responder.order(Order::Forget { target: self.target }, Vec::new());
    }
}

// === impl Adopter ===

impl Adopter {
    /// Has a stream served that carries a connection of the application.
    pub(crate) fn adopt(&self, connection: u64, origin: SocketAddr, stream: OwnedFd) {
        let order = Order::Adopt { target: self.target, connection, origin };
        self.responder.order(order, vec![stream]);
    }

    /// Asks for it back. The keeper is told the answer.
    pub(crate) fn release(&self, connection: u64) {
        self.responder.order(Order::Release { connection }, Vec::new());
    }
}
