//! The connections that clients hold when the fault starts: found, watched, and drained, reset or left alone, as the job
//! says. Runs in the keeper, which outlives the agent.
//!
//! [`find`] lists them, a gate on each (see `httpfault-ebpf/src/existing`) tells what it speaks and when a request came
//! in, [`judge`] decides from that and from TCP_INFO, [`drain`] and [`reset`] do it through a descriptor that is
//! borrowed for the moment, [`tally`] is what is told of it.

mod find;
mod connection;
mod judge;
mod drain;
mod reset;
mod tally;

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::Rc,
    time::{Duration, Instant},
};

use httpfault_common::{
    abi::existing::{Note, note, state},
    contract::ExistingConnections,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{cgroup::Cgroup, datapath::existing::Gates, scope::Scope, sockets::Held};
use connection::{Connection, Look};
use find::Finder;
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
    /// Whose own connections are never touched.
    pub(crate) agent: u32,
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

/// A note of the kernel programs, and the bytes that came with it.
pub(crate) type Noted = (Note, Vec<u8>);

/// What all targets of a keeper share.
pub(crate) struct Shared {
    pub(crate) gates: RefCell<Gates>,
    /// Who wants to know of a connection's notes, by socket cookie.
    pub(crate) listeners: RefCell<HashMap<u64, mpsc::UnboundedSender<Noted>>>,
}

impl Shared {
    /// Hands a note to whom it concerns.
    pub(crate) fn deliver(&self, note: Note, bytes: Vec<u8>) {
        if let Some(listener) = self.listeners.borrow().get(&note.cookie) {
            // A target that has settled needs no notes.
            let _settled = listener.send((note, bytes));
        }
    }
}

/// Looks after one target's connections until it is told to settle. `changed` is told of every new tally, at first of
/// what was found.
pub(crate) async fn look_after(
    job: Job,
    shared: Rc<Shared>,
    mut orders: mpsc::UnboundedReceiver<Order>,
    changed: &mut dyn FnMut(Stage, &Tally),
) -> anyhow::Result<()> {
    let (notes, mut told) = mpsc::unbounded_channel();
    let mut care = Care::new(job, shared, notes)?;
    care.list(true)?;
    let mut stage = Stage::Found;
    while stage != Stage::Settled {
        changed(stage, &care.tally());
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(Order::Start) => {
                    care.start();
                    care.look().await?;
                    stage = Stage::Started;
                }
                Some(Order::Settle) | None => {
                    care.settle();
                    stage = Stage::Settled;
                }
            },
            Some((note, _bytes)) = told.recv() => care.note(note),
            () = tokio::time::sleep(care.pause()) => care.look().await?,
        }
    }
    changed(stage, &care.tally());
    Ok(())
}

/// One target's connections.
struct Care {
    job: Job,
    finder: Finder,
    shared: Rc<Shared>,
    notes: mpsc::UnboundedSender<Noted>,
    /// By socket cookie.
    connections: HashMap<u64, Connection>,
    /// What is known of those that are gone.
    past: Tally,
    /// When the fault came on.
    started: Option<Instant>,
    listed: Instant,
}

impl Care {
    fn new(job: Job, shared: Rc<Shared>, notes: mpsc::UnboundedSender<Noted>) -> anyhow::Result<Self> {
        let finder = Finder::new(&job)?;
        Ok(Self {
            job,
            finder,
            shared,
            notes,
            connections: HashMap::new(),
            past: Tally::default(),
            started: None,
            listed: Instant::now(),
        })
    }

    /// Reads the namespace's table; `arrivals` are taken in, others only where their descriptor moved.
    fn list(&mut self, arrivals: bool) -> anyhow::Result<()> {
        self.listed = Instant::now();
        for (cookie, held) in self.finder.established()? {
            if let Some(known) = self.connections.get_mut(&cookie) {
                known.moved(held);
            } else if arrivals {
                self.take_in(cookie, held);
            }
        }
        Ok(())
    }

    fn take_in(&mut self, cookie: u64, held: Held) {
        let state = if self.started.is_some() { self.first_state() } else { state::WATCHED };
        let taken_in = Connection::watch(cookie, held, state, &mut self.shared.gates.borrow_mut());
        match taken_in {
            Ok(Some(connection)) => {
                self.shared.listeners.borrow_mut().insert(connection.cookie, self.notes.clone());
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
            ExistingConnections::Drain | ExistingConnections::Keep => state::WATCHED,
        }
    }

    fn start(&mut self) {
        self.started = Some(Instant::now());
        let state = self.first_state();
        let mut gates = self.shared.gates.borrow_mut();
        for connection in self.connections.values_mut() {
            connection.begin(state, &mut gates);
        }
    }

    fn pause(&self) -> Duration {
        match (self.started, self.job.mode) {
            (Some(_), ExistingConnections::Drain | ExistingConnections::Reset) => {
                let number = u32::try_from(self.connections.len()).unwrap_or(u32::MAX);
                LOOK_COST.saturating_mul(number).clamp(LOOK_FASTEST, LOOK_SLOWEST)
            }
            _ => LOOK_IDLY,
        }
    }

    fn note(&mut self, note: Note) {
        if note.what == note::REFUSED && self.job.mode == ExistingConnections::Reset {
            self.look_at(note.cookie);
        }
    }

    async fn look(&mut self) -> anyhow::Result<()> {
        let arrivals = self.started.is_none_or(|started| started.elapsed() < LATE_ARRIVALS);
        if self.listed.elapsed() >= if arrivals { LIST_ARRIVALS_EVERY } else { LIST_EVERY } {
            self.list(arrivals)?;
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
        let Some(connection) = self.connections.get_mut(&cookie) else { return };
        let mode = self.started.map(|_| self.job.mode);
        let look = connection.look(mode, &mut self.shared.gates.borrow_mut());
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

    /// The fault is over: gates off; what is still there is counted.
    fn settle(&mut self) {
        let cookies: Vec<u64> = self.connections.keys().copied().collect();
        for cookie in cookies {
            let Some(connection) = self.connections.get_mut(&cookie) else { continue };
            if connection.let_go(&mut self.shared.gates.borrow_mut()) == Look::Gone {
                self.forget(cookie);
            }
            self.shared.listeners.borrow_mut().remove(&cookie);
        }
    }

    fn tally(&self) -> Tally {
        let mut tally = self.past.clone();
        for connection in self.connections.values() {
            connection.count(&mut tally);
            tally.still_open += u64::from(connection.is_open());
        }
        tally
    }
}
