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

/// Between two pieces of one request.
const PIECES: Duration = Duration::from_millis(1);

/// What the clients do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Clients take turns.
    pub to: [SocketAddr; 2],
    pub clients: usize,
    pub style: Style,
    pub request: Request,
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

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Get(&'static str),
    /// So many bytes to `/upload`, with the head in one piece.
    Post(usize),
    /// The same in three pieces, the first of which ends within the head.
    SplitPost(usize),
}

impl Plan {
    /// Clients that send their next request at once and wait long.
    pub fn new(to: SocketAddr, clients: usize, style: Style) -> Self {
        Self {
            to: [to, to],
            clients,
            style,
            request: Request::Get("/"),
            pause: Duration::ZERO,
            patience: Duration::from_secs(15),
        }
    }

    /// Every other client connects to `to` instead.
    pub fn and(self, to: SocketAddr) -> Self {
        Self { to: [self.to[0], to], ..self }
    }

    pub fn request(self, request: Request) -> Self {
        Self { request, ..self }
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
    /// A kept connection was closed in order while the request was on its way; the client then sends it again.
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
        let clients = (0..plan.clients).map(|index| {
            let (namespace, shared) = (namespace.clone(), Arc::clone(&shared));
            thread::spawn(move || {
                namespace.enter()?;
                Ok(client(plan, plan.to[index % plan.to.len()], &shared))
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

fn client(plan: Plan, to: SocketAddr, shared: &Shared) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut kept = None;
    while !shared.stop.load(Ordering::Relaxed) {
        let sent = Instant::now();
        let outcome = request(plan, to, &mut kept);
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

fn request(plan: Plan, to: SocketAddr, kept: &mut Option<Connection>) -> Outcome {
    let kept_open = kept.take().filter(|connection| !connection.is_closed());
    let reused = kept_open.is_some();
    let answer = match kept_open {
        Some(connection) => Ok(connection),
        None => Connection::open(to),
    };
    let answer = answer.and_then(|mut connection| {
        connection.patience(plan.patience)?;
        let response = plan.request.ask(&mut connection, plan.style)?;
        if plan.style == Style::Close {
            // The server ends the connection, in order; so TIME_WAIT is on its side and the port can be used again.
            connection.rest()?;
        } else if response.keeps_connection() {
            *kept = Some(connection);
        }
        Ok(response)
    });
    match answer {
        Ok(response) => plan.request.classify(&response),
        Err(Broken::Closed) if reused => Outcome::Retried,
        Err(broken) => Outcome::Broken(broken),
    }
}

// === impl Request ===

impl Request {
    fn ask(self, connection: &mut Connection, style: Style) -> Result<Response, Broken> {
        let headers: &[&str] = if style == Style::Close { &["Connection: close"] } else { &[] };
        match self {
            Self::Get(path) => connection.ask("GET", path, headers, b""),
            Self::Post(bytes) => connection.ask("POST", "/upload", headers, &vec![b'u'; bytes]),
            Self::SplitPost(bytes) => {
                let close = if style == Style::Close { "Connection: close\r\n" } else { "" };
                let head =
                    format!("POST /upload HTTP/1.1\r\nHost: app\r\n{close}Content-Length: {bytes}\r\n\r\n");
                let request = [head.as_bytes(), &vec![b'u'; bytes]].concat();
                let (first, rest) = request.split_at(head.len() / 2);
                let (second, third) = rest.split_at(rest.len() - bytes / 2);
                for (index, piece) in [first, second, third].into_iter().enumerate() {
                    if index > 0 {
                        wait::pause(PIECES);
                    }
                    match connection.send(piece) {
                        // What was answered before is to be read.
                        Err(Broken::Closed) => break,
                        sent => sent?,
                    }
                }
                connection.response("POST")
            }
        }
    }

    fn classify(self, response: &Response) -> Outcome {
        let whole = match self {
            Self::Get(_) => true,
            Self::Post(bytes) | Self::SplitPost(bytes) => response.text() == format!("received {bytes}\n"),
        };
        if response.is_real() && response.status == 200 && whole {
            Outcome::Real
        } else if response.injected_by().is_some() && response.status == 503 {
            Outcome::Fault
        } else {
            Outcome::Strange(response.status)
        }
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

    /// Answers that were broken off.
    pub fn cut(&self) -> usize {
        self.count(Outcome::Broken(Broken::Truncated))
    }

    /// Answers that took longer than that.
    pub fn slower_than(&self, time: Duration) -> usize {
        let answered = |sample: &&Sample| matches!(sample.outcome, Outcome::Fault | Outcome::Real);
        let slow = |sample: &&Sample| sample.ended.duration_since(sample.sent) > time;
        self.samples.iter().filter(answered).filter(slow).count()
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
