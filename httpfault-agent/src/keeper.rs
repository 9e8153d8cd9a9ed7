//! The keeper: a small process in a session of its own that looks after the connections which clients held before the
//! fault, and outlives the agent.
//!
//! SSM ends a command by SIGKILL to its process group. Links vanish with the agent; what was begun with connections of
//! the application, and the state on disk, do not. The keeper notices the agent's end, lets go of the connections and
//! sweeps. It is forked before any thread exists, so that nothing is shared but a socket pair.

mod message;
mod process;

use std::{
    collections::HashMap,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use httpfault_common::contract::ExperimentId;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use crate::{
    channel::{self, Channel},
    existing::{Job, Released, Stage, Tally},
    responder::Adopter,
    signs::Signs,
    sys,
};
use message::{Order, Progress, Report};
pub(crate) use process::run;

/// How long the keeper may take to look at a target's connections for the first time.
const FIND_WITHIN: Duration = Duration::from_secs(10);
/// How long it may take to begin, and to let go of them.
const START_WITHIN: Duration = Duration::from_secs(10);
const SETTLE_WITHIN: Duration = Duration::from_secs(10);

/// Which of the two processes this is.
pub(crate) enum Fork {
    /// The agent's end of the channel between them.
    Agent(OwnedFd),
    Keeper(End),
}

/// The keeper's end of the channel between them.
pub(crate) struct End {
    descriptor: OwnedFd,
    agent: rustix::process::Pid,
    signs: Signs,
    /// The responder, which may not stay when the agent is gone.
    responder: OwnedFd,
}

/// The agent's side.
#[derive(Clone, Debug)]
pub(crate) struct Keeper(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    orders: mpsc::UnboundedSender<Order>,
    signs: Signs,
    targets: Mutex<HashMap<u32, Target>>,
    next: AtomicU32,
}

/// Where news of one target go.
#[derive(Debug)]
struct Target {
    progress: watch::Sender<Progress>,
    for_responder: mpsc::UnboundedSender<ForResponder>,
}

/// What the responder is to do about a taken connection.
#[derive(Debug)]
enum ForResponder {
    Carry { connection: u64, origin: SocketAddr, stream: OwnedFd },
    Release { connection: u64 },
}

/// The existing connections of one target, in the keeper's care.
#[derive(Debug)]
pub(crate) struct Existing {
    target: u32,
    keeper: Keeper,
    progress: watch::Receiver<Progress>,
    for_responder: Option<mpsc::UnboundedReceiver<ForResponder>>,
}

/// Makes two processes of this one. No thread may exist yet.
pub(crate) fn fork(signs: Signs, responder: OwnedFd) -> anyhow::Result<Fork> {
    let (ours, its) = channel::pair().context("making the keeper's channel")?;
    let agent = rustix::process::getpid();
    Ok(match sys::fork().context("starting the keeper")? {
        None => Fork::Keeper(End { descriptor: its, agent, signs, responder }),
        Some(_keeper) => Fork::Agent(ours),
    })
}

// === impl Keeper ===

impl Keeper {
    /// Begins to talk to the keeper. Must be called inside a Tokio runtime.
    pub(crate) fn connect(channel: OwnedFd, signs: Signs) -> anyhow::Result<Self> {
        let channel = Arc::new(Channel::new(channel).context("opening the keeper's channel")?);
        let (orders, outbox) = mpsc::unbounded_channel();
        let (targets, next) = (Mutex::default(), AtomicU32::new(0));
        let keeper = Self(Arc::new(Inner { orders, signs, targets, next }));
        tokio::spawn(send(Arc::clone(&channel), outbox));
        tokio::spawn(receive(channel, Arc::downgrade(&keeper.0)));
        Ok(keeper)
    }

    /// The state of this experiment is the keeper's to sweep when the agent ends without having done so.
    pub(crate) fn sweep(&self, experiment: &ExperimentId) -> anyhow::Result<()> {
        self.order(Order::Sweep(experiment.clone()))
    }

    /// Takes note of a target's connections.
    pub(crate) async fn find(&self, job: Job) -> anyhow::Result<Existing> {
        let target = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (sender, progress) = watch::channel(Progress::default());
        let (responder, for_responder) = mpsc::unbounded_channel();
        self.targets().insert(target, Target { progress: sender, for_responder: responder });
        let for_responder = Some(for_responder);
        let mut existing = Existing { target, keeper: self.clone(), progress, for_responder };
        self.order(Order::Find { target, job })?;
        existing.reach(Stage::Found, FIND_WITHIN).await.context("looking at existing connections")?;
        Ok(existing)
    }

    /// An answer on a taken connection was the last.
    pub(crate) fn closed(&self, connection: u64) {
        // A keeper that is gone closes nothing any more.
        let _gone = self.order(Order::Closed { connection });
    }

    /// The answer to [`Report::Release`].
    pub(crate) fn released(&self, connection: u64, released: Released) {
        // A keeper that is gone needs no answer.
        let _gone = self.order(Order::Released { connection, released });
    }

    fn order(&self, order: Order) -> anyhow::Result<()> {
        self.0.orders.send(order).context("the keeper is gone")
    }

    fn targets(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Target>> {
        self.0.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn send(channel: Arc<Channel>, mut outbox: mpsc::UnboundedReceiver<Order>) {
    while let Some(order) = outbox.recv().await {
        if let Err(why) = channel.send(&order, &[]).await {
            log::warn!("telling the keeper: {why}");
            return;
        }
    }
}

async fn receive(channel: Arc<Channel>, keeper: std::sync::Weak<Inner>) {
    loop {
        let report = channel.receive::<Report>().await;
        let Some(inner) = keeper.upgrade() else { return };
        let targets = || inner.targets.lock().unwrap_or_else(PoisonError::into_inner);
        match report {
            Ok(Some((Report::Progress { target, progress }, _))) => {
                if let Some(target) = targets().get(&target) {
                    target.progress.send_replace(progress);
                }
            }
            Ok(Some((Report::Carry { target, connection, origin }, streams))) => {
                let Some(stream) = streams.into_iter().next() else {
                    log::warn!("the keeper sent no stream");
                    continue;
                };
                if let Some(target) = targets().get(&target) {
                    let carry = ForResponder::Carry { connection, origin, stream };
                    // A fault that was given up ends the stream.
                    let _given_up = target.for_responder.send(carry);
                }
            }
            Ok(Some((Report::Release { target, connection }, _))) => {
                let asked = targets().get(&target).is_some_and(|target| {
                    target.for_responder.send(ForResponder::Release { connection }).is_ok()
                });
                if !asked {
                    // A fault that was given up serves nothing. A keeper that is gone needs no answer.
                    let order = Order::Released { connection, released: Released::Ended };
                    let _gone = inner.orders.send(order);
                }
            }
            Ok(Some((Report::Warning(text), _))) => log::warn!("{text}"),
            Ok(None) | Err(_) => {
                // Whoever waits learns it from the end of its watch.
                targets().clear();
                return;
            }
        }
    }
}

// === impl Existing ===

impl Existing {
    /// From here on the responder serves what is taken.
    pub(crate) fn serve_with(&mut self, adopter: Adopter) {
        if let Some(inbox) = self.for_responder.take() {
            tokio::spawn(serve(inbox, adopter));
        }
    }

    /// The fault is on: the keeper does with them what the job says, and has begun when this returns.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        self.keeper.order(Order::Start { target: self.target })?;
        self.reach(Stage::Started, START_WITHIN).await.context("beginning with existing connections")
    }

    /// What was seen and done so far.
    pub(crate) fn tally(&self) -> Tally {
        self.progress.borrow().tally.clone()
    }

    /// The hooks are about to come off: from here on no connection is one from before the fault.
    pub(crate) fn over(&self) {
        if let Some(over) = self.keeper.0.signs.over(self.target) {
            over.store(true, Ordering::SeqCst);
        }
    }

    /// The fault is over: the keeper lets go of them.
    pub(crate) async fn settle(&mut self) -> anyhow::Result<()> {
        self.keeper.order(Order::Settle { target: self.target })?;
        self.reach(Stage::Settled, SETTLE_WITHIN).await.context("letting go of existing connections")
    }

    async fn reach(&mut self, stage: Stage, within: Duration) -> anyhow::Result<()> {
        let reached = self.progress.wait_for(|now| now.stage >= stage || now.error.is_some());
        let progress = timeout(within, reached)
            .await
            .with_context(|| format!("the keeper did not answer within {} s", within.as_secs()))?
            .context("the keeper is gone")?;
        match &progress.error {
            Some(why) => bail!("{why}"),
            None => Ok(()),
        }
    }
}

/// Has taken connections served, and given back when the keeper asks.
async fn serve(mut inbox: mpsc::UnboundedReceiver<ForResponder>, adopter: Adopter) {
    while let Some(order) = inbox.recv().await {
        match order {
            ForResponder::Carry { connection, origin, stream } => adopter.adopt(connection, origin, stream),
            ForResponder::Release { connection } => adopter.release(connection),
        }
    }
}

impl Drop for Existing {
    fn drop(&mut self) {
        // A fault that was given up: the keeper may be gone too.
        let _gone = self.keeper.order(Order::Settle { target: self.target });
        self.keeper.targets().remove(&self.target);
    }
}
