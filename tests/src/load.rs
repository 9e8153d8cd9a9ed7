//! Many clients at once; every single response is kept and classified.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

use crate::{
    netns::Namespace,
    wait,
    wire::{Broken, Connection, Response},
};

/// What the clients do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub to: SocketAddr,
    pub clients: usize,
    pub style: Style,
    /// Between two requests of one client.
    pub pause: Duration,
    /// How long a client waits for bytes of an answer.
    pub patience: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A connection for each request.
    Close,
    /// Connections are kept as long as the other side lets them.
    KeepAlive,
}

impl Plan {
    /// Clients that send their next request at once and wait long.
    pub fn new(to: SocketAddr, clients: usize, style: Style) -> Self {
        Self { to, clients, style, pause: Duration::ZERO, patience: Duration::from_secs(15) }
    }

    pub fn pause(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Fault,
    Real,
    /// A response that is neither, with its status.
    Strange(u16),
    /// A kept connection was closed in order while idle, as servers may; the client then sends the request again.
    Retried,
    Broken(Broken),
}

/// One request: when it was sent, when it ended.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub sent: Instant,
    pub ended: Instant,
    pub outcome: Outcome,
}

/// Running clients.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Result<Vec<Sample>>>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    faults: AtomicUsize,
    real: AtomicUsize,
}

/// Everything that happened, in the order in which it ended.
#[derive(Debug)]
pub struct Tally {
    pub samples: Vec<Sample>,
}

impl Load {
    /// Starts the clients in `namespace`.
    pub fn start(namespace: &Namespace, plan: Plan) -> Self {
        let shared = Arc::new(Shared::default());
        let clients = (0..plan.clients).map(|_| {
            let (namespace, shared) = (namespace.clone(), Arc::clone(&shared));
            thread::spawn(move || {
                namespace.enter()?;
                Ok(client(plan, &shared))
            })
        });
        let clients = clients.collect();
        Self { shared, clients }
    }

    /// Waits until `count` more faults were seen.
    pub fn await_faults(&self, count: usize) -> Result<Duration> {
        more("injected responses", count, || self.faults())
    }

    /// Waits until `count` more answers of the application were seen.
    pub fn await_real(&self, count: usize) -> Result<Duration> {
        more("real responses", count, || self.real())
    }

    /// Waits until `count` more answers were seen, of whatever kind.
    pub fn await_answers(&self, count: usize) -> Result<Duration> {
        more("responses", count, || self.faults() + self.real())
    }

    fn faults(&self) -> usize {
        self.shared.faults.load(Ordering::Relaxed)
    }

    fn real(&self) -> usize {
        self.shared.real.load(Ordering::Relaxed)
    }

    /// Ends the clients and returns what they saw.
    pub fn stop(mut self) -> Result<Tally> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut samples = Vec::new();
        for client in self.clients.drain(..) {
            samples.extend(client.join().map_err(|panic| anyhow!("a client panicked: {panic:?}"))??);
        }
        samples.sort_by_key(|sample| sample.ended);
        Ok(Tally { samples })
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn more(what: &str, count: usize, seen: impl Fn() -> usize) -> Result<Duration> {
    let goal = seen() + count;
    let what = format!("{count} more {what} under load");
    wait::until(&what, Duration::from_secs(15), || Ok(seen() >= goal))
}

fn client(plan: Plan, shared: &Shared) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut kept = None;
    while !shared.stop.load(Ordering::Relaxed) {
        let sent = Instant::now();
        let outcome = request(plan, &mut kept);
        samples.push(Sample { sent, ended: Instant::now(), outcome });
        match outcome {
            Outcome::Fault => drop(shared.faults.fetch_add(1, Ordering::Relaxed)),
            Outcome::Real => drop(shared.real.fetch_add(1, Ordering::Relaxed)),
            Outcome::Strange(_) | Outcome::Retried | Outcome::Broken(_) => {}
        }
        if !plan.pause.is_zero() {
            wait::pause(plan.pause);
        }
    }
    samples
}

fn request(plan: Plan, kept: &mut Option<Connection>) -> Outcome {
    let reused = kept.is_some();
    let answer = match kept.take() {
        Some(connection) => Ok(connection),
        None => Connection::open(plan.to),
    };
    let headers: &[&str] = if plan.style == Style::Close { &["Connection: close"] } else { &[] };
    let answer = answer.and_then(|mut connection| {
        connection.patience(plan.patience)?;
        let response = connection.ask("GET", "/", headers, b"")?;
        if plan.style == Style::Close {
            // The server ends the connection, in order; so TIME_WAIT is on its side and the port can be used again.
            connection.rest()?;
        } else if response.keeps_connection() {
            *kept = Some(connection);
        }
        Ok(response)
    });
    match answer {
        Ok(response) => classify(&response),
        Err(Broken::Closed) if reused => Outcome::Retried,
        Err(broken) => Outcome::Broken(broken),
    }
}

fn classify(response: &Response) -> Outcome {
    if response.is_real() && response.status == 200 {
        Outcome::Real
    } else if response.injected_by().is_some() && response.status == 503 {
        Outcome::Fault
    } else {
        Outcome::Strange(response.status)
    }
}

// === impl Tally ===

impl Tally {
    pub fn count(&self, outcome: Outcome) -> usize {
        self.samples.iter().filter(|sample| sample.outcome == outcome).count()
    }

    /// Requests that got neither the fault nor the application's answer.
    pub fn lost(&self) -> Vec<&Sample> {
        let lost = |sample: &&Sample| matches!(sample.outcome, Outcome::Strange(_) | Outcome::Broken(_));
        self.samples.iter().filter(lost).collect()
    }

    /// When a request with that outcome last ended.
    pub fn last(&self, outcome: Outcome) -> Option<Instant> {
        self.samples.iter().rev().find(|sample| sample.outcome == outcome).map(|sample| sample.ended)
    }

    pub fn first(&self, outcome: Outcome) -> Option<Instant> {
        self.samples.iter().find(|sample| sample.outcome == outcome).map(|sample| sample.ended)
    }

    /// Requests sent at or after `moment`.
    pub fn sent_after(&self, moment: Instant) -> Self {
        Self { samples: self.samples.iter().filter(|sample| sample.sent >= moment).copied().collect() }
    }

    /// How often each outcome happened, for messages.
    pub fn summary(&self) -> String {
        let mut counts = BTreeMap::<Outcome, usize>::new();
        self.samples.iter().for_each(|sample| *counts.entry(sample.outcome).or_default() += 1);
        format!("{counts:?}")
    }
}
