//! The connections that clients hold when the fault starts: found, watched, and drained, reset or left alone, as the job
//! says. Runs in the keeper, which outlives the agent.
//!
//! [`find`] lists them, a gate on each (see `httpfault-ebpf/src/existing`) tells what it speaks and when a request came
//! in. Where they may be, connections are taken ([`take`], [`taking`], [`give_back`]): their requests go to the responder
//! and its answers come back over a [`carrier`]. For the others [`judge`] decides from what was seen and from TCP_INFO,
//! [`drain`] and [`reset`] do it through a descriptor that is borrowed for the moment. [`tally`] is what is told of it.

mod find;
mod connection;
mod account;
mod taking;
mod take;
mod reader;
mod carrier;
mod give_back;
mod judge;
mod drain;
mod reset;
mod tally;
pub(crate) mod self_test;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::SocketAddr,
    os::fd::OwnedFd,
    rc::Rc,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use httpfault_common::{
    abi::existing::{Note, state},
    contract::ExistingConnections,
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    cgroup::Cgroup,
    clock::boot_ns,
    datapath::existing::{Gates, Notes},
    scope::Scope,
    sockets::Held,
};
use connection::{Connection, Look};
use find::Finder;
use give_back::Patience;
use take::Taken;
pub(crate) use tally::Tally;

/// What looking at one connection may cost, some ten system calls; how often each one is looked at follows from their
/// number. A busy connection is idle for moments only, so often is better.
const LOOK_COST: Duration = Duration::from_micros(50);
const LOOK_FASTEST: Duration = Duration::from_millis(5);
const LOOK_SLOWEST: Duration = Duration::from_millis(100);
/// Where nothing is to be done, looks only count.
const LOOK_IDLY: Duration = Duration::from_millis(250);
/// How many looks are done before others get the processor.
const LOOKS_IN_A_ROW: usize = 32;
/// How often the namespace's socket table is read: descriptors that moved, and, at first, late arrivals.
const LIST_EVERY: Duration = Duration::from_secs(1);
const LIST_ARRIVALS_EVERY: Duration = Duration::from_millis(100);
/// A handshake that was under way when steering came on ends within this.
const LATE_ARRIVALS: Duration = Duration::from_secs(2);

/// What is to be done about the existing connections of one target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) pid: u32,
    pub(crate) cgroup: Cgroup,
    pub(crate) scope: Scope,
    pub(crate) port: u16,
    pub(crate) mode: ExistingConnections,
    /// To be reset before they say anything more.
    pub(crate) at_once: bool,
    /// The processes whose own connections are never touched.
    pub(crate) agents: Vec<u32>,
}

/// What the agent wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Start,
    Settle,
}

/// How far the keeper is with one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    #[default]
    Asked,
    Found,
    Started,
    Settled,
}

/// How long connections have to come to the end of an answer when the fault is over.
const GIVE_BACK_WITHIN: Duration = Duration::from_secs(5);
/// When connections that are never seen at rest are made to come to it, and how often it is tried.
const INSIST_AFTER: Duration = Duration::from_millis(100);
const TRY_EVERY: Duration = Duration::from_millis(1);
/// How often it is looked whether an agent that does not answer still lives.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How long requests that were eaten before the agent was gone have to be answered. Its responder waits longer for them.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// What a target is told.
pub(crate) enum Told {
    /// A note of the kernel programs, and the bytes that came with it.
    Noted(Note, Vec<u8>),
    /// The responder's part of a taken connection ended with its answer: no further request is to follow.
    Closed(u64),
    /// The responder's last byte on a taken connection is out.
    AnswersOut(u64),
}

/// What the agent is asked.
pub(crate) enum Request {
    /// To serve what comes over the stream, which are the requests of a taken connection.
    Carry { target: u32, connection: u64, origin: SocketAddr, stream: OwnedFd },
    /// To let go of it between two requests.
    Release { target: u32, connection: u64, answer: oneshot::Sender<Released> },
}

/// Whether it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Released {
    AtRest,
    Busy,
    Ended,
}

/// What all targets of a keeper share.
pub(crate) struct Shared {
    pub(crate) gates: RefCell<Gates>,
    /// Who wants to know of a connection's notes, by socket cookie.
    pub(crate) listeners: RefCell<HashMap<u64, mpsc::UnboundedSender<Told>>>,
    pub(crate) notes: RefCell<Notes>,
    pub(crate) requests: mpsc::UnboundedSender<Request>,
    /// Until when the agent lives, `CLOCK_BOOTTIME` in nanoseconds; 0 when it is gone.
    pub(crate) agent_until: Cell<u64>,
    /// Why connections can't be taken on this host.
    pub(crate) take: Result<(), String>,
}

impl Shared {
    /// Hands the kernel's notes to those whom they concern.
    pub(crate) fn pump(&self) {
        let mut notes = self.notes.borrow_mut();
        while let Some((note, bytes)) = notes.next() {
            self.tell(note.cookie, Told::Noted(note, bytes));
        }
    }

    /// Tells the target whose connection this is.
    pub(crate) fn tell(&self, cookie: u64, told: Told) {
        if let Some(listener) = self.listeners.borrow().get(&cookie) {
            // A target that has settled needs no news.
            let _settled = listener.send(told);
        }
    }

    fn agent_lives(&self) -> bool {
        boot_ns() < self.agent_until.get()
    }

    /// It has ended: one that is only late lives again.
    fn agent_is_gone(&self) -> bool {
        self.agent_until.get() == 0
    }

    fn carry(&self, target: u32, connection: u64, origin: SocketAddr, stream: OwnedFd) {
        // An agent that is gone ends the stream.
        let _gone = self.requests.send(Request::Carry { target, connection, origin, stream });
    }

    /// Asks the responder to let go of a connection. It counts as busy when the agent ends meanwhile: then nobody is asked
    /// any more.
    async fn release(&self, target: u32, connection: u64) -> Released {
        let (answer, mut answered) = oneshot::channel();
        if self.requests.send(Request::Release { target, connection, answer }).is_err() {
            return Released::Busy;
        }
        // However late: a responder that let go serves nothing more that is sent to it.
        while self.agent_lives() {
            match timeout(ASK_AGAIN, &mut answered).await {
                Ok(answer) => return answer.unwrap_or(Released::Busy),
                Err(_elapsed) => {}
            }
        }
        Released::Busy
    }
}

/// Looks after one target's connections until it is told to settle. `changed` is told of every new tally, at first of
/// what was found.
pub(crate) async fn look_after(
    target: u32,
    job: Job,
    over: &'static AtomicBool,
    shared: Rc<Shared>,
    mut orders: mpsc::UnboundedReceiver<Order>,
    changed: &mut dyn FnMut(Stage, &Tally),
) -> anyhow::Result<()> {
    let mut care = Care::new(target, job, over, shared)?;
    care.list(true).await?;
    let mut stage = Stage::Found;
    while stage != Stage::Settled {
        changed(stage, &care.tally());
        let pause = care.pause();
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(Order::Start) => {
                    care.start().await;
                    care.look().await?;
                    stage = Stage::Started;
                }
                Some(Order::Settle) | None => {
                    care.settle().await;
                    stage = Stage::Settled;
                }
            },
            Some(told) = care.told.recv() => care.heard(told),
            () = tokio::time::sleep(pause) => care.look().await?,
        }
    }
    changed(stage, &care.tally());
    Ok(())
}

/// One target's connections.
struct Care {
    target: u32,
    job: Job,
    /// Set before the hooks come off.
    over: &'static AtomicBool,
    finder: Finder,
    shared: Rc<Shared>,
    tell: mpsc::UnboundedSender<Told>,
    told: mpsc::UnboundedReceiver<Told>,
    taken: HashMap<u64, Taken>,
    /// By socket cookie.
    connections: HashMap<u64, Connection>,
    /// What is known of those that are gone.
    past: Tally,
    /// When the fault came on.
    started: Option<Instant>,
    listed: Instant,
}

impl Care {
    fn new(target: u32, job: Job, over: &'static AtomicBool, shared: Rc<Shared>) -> anyhow::Result<Self> {
        let finder = Finder::new(&job)?;
        let (tell, told) = mpsc::unbounded_channel();
        Ok(Self {
            target,
            job,
            over,
            finder,
            shared,
            tell,
            told,
            taken: HashMap::new(),
            connections: HashMap::new(),
            past: Tally::default(),
            started: None,
            listed: Instant::now(),
        })
    }

    /// Reads the namespace's table; `arrivals` are taken in, others only where their descriptor moved.
    async fn list(&mut self, arrivals: bool) -> anyhow::Result<()> {
        self.listed = Instant::now();
        let mut new = Vec::new();
        let established = self.finder.established()?;
        // Whatever the table shows while the hooks are on was there before them.
        let arrivals = arrivals && !self.is_over();
        for (cookie, held) in established {
            if let Some(known) = self.connections.get_mut(&cookie) {
                known.moved(held);
            } else if arrivals {
                self.take_in(cookie, held);
                new.push(cookie);
            }
        }
        if self.takes() && !new.is_empty() {
            self.open_accounts(&new).await?;
        }
        Ok(())
    }

    /// Nothing more is done to a connection then, however late the order to settle comes.
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn take_in(&mut self, cookie: u64, held: Held) {
        let state = if self.started.is_some() { self.first_state() } else { state::WATCHED };
        let taken_in = Connection::watch(cookie, held, state, &mut self.shared.gates.borrow_mut());
        match taken_in {
            Ok(Some(connection)) => {
                self.shared.listeners.borrow_mut().insert(connection.cookie, self.tell.clone());
                self.connections.insert(connection.cookie, connection);
                self.past.found += 1;
            }
            // Closed since it was listed.
            Ok(None) => {}
            Err(why) => {
                self.past.found += 1;
                self.past.unwatched += 1;
                self.past.problem.get_or_insert(format!("{why:#}"));
            }
        }
    }

    /// What the gate does once the fault is on.
    fn first_state(&self) -> u32 {
        match self.job.mode {
            ExistingConnections::Reset => state::TO_RESET,
            ExistingConnections::Auto
            | ExistingConnections::Take
            | ExistingConnections::Drain
            | ExistingConnections::Keep => state::WATCHED,
        }
    }

    async fn start(&mut self) {
        self.started = Some(Instant::now());
        if let (true, Err(why)) = (self.job.mode == ExistingConnections::Take, &self.shared.take) {
            self.past.problem = Some(why.clone());
        }
        let state = self.first_state();
        for connection in self.connections.values_mut() {
            if let Err(why) = connection.begin(state, &mut self.shared.gates.borrow_mut()) {
                self.past.problem.get_or_insert(format!("{why:#}"));
            }
        }
        if self.takes() {
            self.take_all().await;
        }
    }

    fn pause(&self) -> Duration {
        match (self.started, self.job.mode) {
            (Some(_), mode) if mode != ExistingConnections::Keep => {
                let number = u32::try_from(self.connections.len()).unwrap_or(u32::MAX);
                LOOK_COST.saturating_mul(number).clamp(LOOK_FASTEST, LOOK_SLOWEST)
            }
            _ => LOOK_IDLY,
        }
    }

    async fn look(&mut self) -> anyhow::Result<()> {
        let arrivals = self.started.is_none_or(|started| started.elapsed() < LATE_ARRIVALS);
        if self.listed.elapsed() >= if arrivals { LIST_ARRIVALS_EVERY } else { LIST_EVERY } {
            self.list(arrivals).await?;
        }
        if !self.taken.is_empty() && !self.shared.agent_lives() {
            self.give_back(Patience::Passing).await;
        }
        let cookies: Vec<u64> = self.connections.keys().copied().collect();
        for some in cookies.chunks(LOOKS_IN_A_ROW) {
            for cookie in some {
                self.look_at(*cookie);
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn look_at(&mut self, cookie: u64) {
        if self.look_at_taken(cookie) {
            return;
        }
        let on = self.started.is_some() && !self.is_over();
        if on && self.shared.agent_lives() && self.wants(cookie) && self.take(cookie) {
            return;
        }
        let Some(connection) = self.connections.get_mut(&cookie) else { return };
        let job = on.then_some(&self.job);
        let look = connection.look(job, &mut self.shared.gates.borrow_mut());
        if look == Look::Gone {
            self.forget(cookie);
        }
    }

    fn forget(&mut self, cookie: u64) {
        if let Some(connection) = self.connections.remove(&cookie) {
            connection.count(&mut self.past);
            self.shared.listeners.borrow_mut().remove(&cookie);
            self.shared.gates.borrow_mut().forget(cookie);
        }
    }

    /// The fault is over: what was taken is given back, then the gates go; what is still there is counted.
    async fn settle(&mut self) {
        let begun = Instant::now();
        for connection in self.connections.values_mut() {
            connection.count_until_now(&self.shared.gates.borrow());
        }
        loop {
            let insist = begun.elapsed() >= INSIST_AFTER;
            self.give_back(if insist { Patience::Insisting } else { Patience::Passing }).await;
            let within = if self.shared.agent_is_gone() { LAST_ANSWERS } else { GIVE_BACK_WITHIN };
            if self.waits_in_vain() || begun.elapsed() >= within {
                break;
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
        self.cut_taken();
        let cookies: Vec<u64> = self.connections.keys().copied().collect();
        for cookie in cookies {
            let Some(connection) = self.connections.get_mut(&cookie) else { continue };
            let let_go = connection.let_go(&mut self.shared.gates.borrow_mut());
            match let_go {
                Ok(Look::Gone) => self.forget(cookie),
                Ok(Look::There) => {}
                Err(why) => drop(self.past.problem.get_or_insert(format!("{why:#}"))),
            }
            self.shared.listeners.borrow_mut().remove(&cookie);
        }
    }

    fn tally(&self) -> Tally {
        let mut tally = self.past.clone();
        let drains = ![ExistingConnections::Keep, ExistingConnections::Reset].contains(&self.job.mode);
        for connection in self.connections.values() {
            connection.count(&mut tally);
            tally.still_open += u64::from(connection.is_open());
            tally.http2_busy += u64::from(drains && connection.is_busy_http2());
        }
        tally
    }
}
