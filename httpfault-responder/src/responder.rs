//! Start, leave, finish: the life of a responder and its accept loops.

use std::{
    io,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::{Instant, interval, sleep, timeout, timeout_at},
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::{
    answer::Replacements,
    config::{Config, Destination, Limits, Upstream},
    connection,
    decide::Decider,
    life::{Doing, Life, Seat},
    stats::Stats,
};

/// How long an accept loop waits when the process or the host is out of descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(50);

/// What every connection of one responder shares.
pub(crate) struct Shared {
    pub(crate) decider: Decider,
    pub(crate) replacements: Replacements,
    pub(crate) destination: Destination,
    pub(crate) upstream: Arc<dyn Upstream>,
    pub(crate) limits: Limits,
    pub(crate) stats: Arc<Stats>,
    pub(crate) life: Life,
}

/// A running responder. Dropping it cuts every connection; [`Responder::finish`] is the graceful end.
pub struct Responder {
    shared: Arc<Shared>,
    connections: TaskTracker,
    seats: Arc<Mutex<Vec<Seat>>>,
    acceptors: Vec<AbortOnDropHandle<()>>,
}

/// What became of the connections that were open when the fault was over. Units: connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FinishReport {
    /// Ended by themselves or after their last response.
    pub ended: u64,
    /// Were idle when the grace was over and were closed in order.
    pub closed_idle: u64,
    /// Passed bytes between client and application (TLS, not HTTP, upgraded) to the end, and were cut.
    pub cut_passing: u64,
    /// Were in the middle of a response (a long download) to the end, and were cut.
    pub cut_serving: u64,
}

/// Serves `listeners` until [`Responder::finish`]. Must be called inside a Tokio runtime.
pub fn start(listeners: Vec<TcpListener>, config: Config) -> Responder {
    let shared = Arc::new(Shared {
        decider: Decider::new(&config.fault, config.probe_token),
        replacements: Replacements::new(&config.fault, &config.experiment_id),
        destination: config.destination,
        upstream: config.upstream,
        limits: config.limits,
        stats: Arc::default(),
        life: Life::default(),
    });
    let free = Arc::new(Semaphore::new(config.limits.max_connections));
    let connections = TaskTracker::new();
    let seats = Arc::default();
    let acceptors = listeners
        .into_iter()
        .map(|listener| Acceptor {
            listener,
            shared: Arc::clone(&shared),
            free: Arc::clone(&free),
            connections: connections.clone(),
            seats: Arc::clone(&seats),
        })
        .map(|acceptor| AbortOnDropHandle::new(tokio::spawn(acceptor.run())))
        .collect();
    Responder { shared, connections, seats, acceptors }
}

impl Responder {
    /// The counters, readable while the responder runs and after it.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.shared.stats)
    }

    /// The fault is over: every further request is the application's, and clients are told to let go of their
    /// connections (`Connection: close`, GOAWAY). Listeners go on accepting.
    pub fn leave(&self) {
        self.shared.life.leave();
    }

    /// Leaves, waits at most `grace` for connections to end, closes idle ones in order, empties the accept queue,
    /// closes the listeners, and cuts what is left.
    pub async fn finish(mut self, grace: Duration) -> FinishReport {
        let life = &self.shared.life;
        life.leave();
        let open_at_leave = self.connections.len();
        // The tracker stays open for new connections: closing it only lets wait() return when it is empty.
        self.connections.close();
        let all_ended = timeout(grace, self.connections.wait()).await.is_ok();
        let idle_at_end = if all_ended { 0 } else { self.count(Doing::Waiting) };

        life.closing.cancel();
        for acceptor in self.acceptors.drain(..) {
            if let Err(error) = acceptor.await {
                tracing::warn!(%error, "an accept loop of the responder ended badly");
            }
        }
        self.wait_for_responses().await;
        let report = FinishReport {
            cut_passing: self.count(Doing::Passing),
            cut_serving: self.count(Doing::Serving),
            closed_idle: idle_at_end,
            ended: 0,
        };
        life.cut.cancel();
        self.connections.wait().await;
        let not_ended = report.cut_passing + report.cut_serving + report.closed_idle;
        FinishReport { ended: (open_at_leave as u64).saturating_sub(not_ended), ..report }
    }

    /// Waits until only connections are left that pass bytes, but no longer than the limit for last responses.
    async fn wait_for_responses(&self) {
        let deadline = Instant::now() + self.shared.limits.last_time;
        let mut look = interval(Duration::from_millis(10));
        while self.connections.len() as u64 > self.count(Doing::Passing) {
            if timeout_at(deadline, look.tick()).await.is_err() {
                return;
            }
        }
    }

    fn count(&self, doing: Doing) -> u64 {
        let seats = self.seats.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        seats.iter().filter(|seat| seat.is_taken() && seat.get() == doing).count() as u64
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.shared.life.leave();
        self.shared.life.cut.cancel();
    }
}

/// One listening socket's loop.
struct Acceptor {
    listener: TcpListener,
    shared: Arc<Shared>,
    free: Arc<Semaphore>,
    connections: TaskTracker,
    seats: Arc<Mutex<Vec<Seat>>>,
}

impl Acceptor {
    async fn run(self) {
        let closing = &self.shared.life.closing;
        loop {
            tokio::select! {
                biased;
                accepted = self.accept() => match accepted {
                    Ok((stream, permit)) => self.serve(stream, Some(permit)),
                    Err(error) => survive(&error).await,
                },
                () = closing.cancelled() => break,
            }
        }
        self.empty_queue().await;
    }

    async fn accept(&self) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
        let permit = self.permit().await.map_err(io::Error::other)?;
        let (stream, _) = self.listener.accept().await?;
        Ok((stream, permit))
    }

    /// Waits for a free place; says so while there is none.
    async fn permit(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        let saturated = &self.shared.stats.saturated;
        let permit = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_full) => {
                saturated.store(true, Relaxed);
                Arc::clone(&self.free).acquire_owned().await?
            }
        };
        // Some distance between on and off, so that the driver is not made to flap.
        if self.free.available_permits() >= self.shared.limits.max_connections / 16 {
            saturated.store(false, Relaxed);
        }
        Ok(permit)
    }

    /// Takes what the kernel had already queued, beyond the limit too: closing a listener resets those connections, and
    /// no more are coming.
    async fn empty_queue(self) {
        let Self { listener, shared, connections, seats, .. } = self;
        let Ok(listener) = listener.into_std() else { return };
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    if stream.set_nonblocking(true).is_ok()
                        && let Ok(stream) = TcpStream::from_std(stream)
                    {
                        serve(stream, None, &shared, &connections, &seats);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => survive(&error).await,
            }
        }
    }

    fn serve(&self, stream: TcpStream, permit: Option<OwnedSemaphorePermit>) {
        serve(stream, permit, &self.shared, &self.connections, &self.seats);
    }
}

fn serve(
    stream: TcpStream,
    permit: Option<OwnedSemaphorePermit>,
    shared: &Arc<Shared>,
    connections: &TaskTracker,
    seats: &Mutex<Vec<Seat>>,
) {
    let seat = take_seat(seats);
    let shared = Arc::clone(shared);
    shared.stats.open.fetch_add(1, Relaxed);
    connections.spawn(async move {
        let _leave = Leave { shared: Arc::clone(&shared), seat: seat.clone(), _permit: permit };
        tokio::select! {
            biased;
            () = connection::serve(stream, Arc::clone(&shared), seat) => {}
            () = shared.life.cut.cancelled() => {}
        }
    });
}

/// Reuses a seat whose connection is gone, so that their number stays that of concurrent connections.
fn take_seat(seats: &Mutex<Vec<Seat>>) -> Seat {
    let mut seats = seats.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Look at a few only: with many connections a long search for each new one would cost more than a new seat.
    let recent = seats.len().saturating_sub(8);
    if let Some(free) = seats[recent..].iter().find(|seat| seat.take()) {
        return free.clone();
    }
    if seats.len() == seats.capacity() {
        seats.retain(Seat::is_taken);
    }
    let seat = Seat::default();
    seat.take();
    seats.push(seat.clone());
    seat
}

/// Gives a connection's place back however its task ends.
struct Leave {
    shared: Arc<Shared>,
    seat: Seat,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.seat.give_back();
        self.shared.stats.open.fetch_sub(1, Relaxed);
    }
}

/// accept(2) reports errors of the one connection (ECONNABORTED and the network errors its page lists) and of the whole
/// process or host (EMFILE, ENFILE, ENOBUFS, ENOMEM). After the latter an immediate retry would spin.
async fn survive(error: &io::Error) {
    tracing::warn!(%error, "could not accept a connection; trying again");
    sleep(BACK_OFF).await;
}
