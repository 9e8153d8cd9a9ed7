//! The accept loops.

use std::{
    io,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::Duration,
};

use rustix::io::Errno;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

use crate::{activity::Seat, connection, context::Context};

/// How long an accept loop waits when the process or the host is out of descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Whether clients were still waiting to be accepted when everything closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    Nobody,
    Somebody,
}

/// One listening socket's loop.
pub(crate) struct Acceptor {
    pub(crate) listener: TcpListener,
    pub(crate) context: Arc<Context>,
    pub(crate) free: Arc<Semaphore>,
    pub(crate) connections: TaskTracker,
    pub(crate) seats: Arc<Mutex<Vec<Seat>>>,
}

impl Acceptor {
    /// Accepts until everything closes.
    pub(crate) async fn run(self) -> Late {
        let mut late = Late::Nobody;
        let closing = &self.context.life.closing;
        loop {
            tokio::select! {
                biased;
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        has_room(&self.context);
                        let place = self.place().await;
                        if place.is_none() {
                            late = Late::Somebody;
                        }
                        serve(stream, place, &self.context, &self.connections, &self.seats);
                    }
                    Err(error) => survive(&error, &self.context).await,
                },
                () = closing.cancelled() => break,
            }
        }
        // Without descriptors the queue can't be emptied, and the end must come nevertheless.
        match timeout(self.context.limits.last_time, self.empty_queue()).await {
            Ok(Late::Nobody) | Err(_) => late,
            Ok(Late::Somebody) => Late::Somebody,
        }
    }

    /// Waits for a free place. In the end nobody waits: the queue is short by then, because nothing is steered here.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            biased;
            place = Arc::clone(&self.free).acquire_owned() => place.ok(),
            () = self.context.life.closing.cancelled() => None,
        }
    }

    /// Takes what the kernel had already queued, beyond the limit too: closing a listener resets those connections, and
    /// no more are coming.
    async fn empty_queue(self) -> Late {
        let Self { listener, context, connections, seats, .. } = self;
        let mut late = Late::Nobody;
        let Ok(listener) = listener.into_std() else { return late };
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    if stream.set_nonblocking(true).is_ok()
                        && let Ok(stream) = TcpStream::from_std(stream)
                    {
                        late = Late::Somebody;
                        serve(stream, None, &context, &connections, &seats);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return late,
                Err(error) => survive(&error, &context).await,
            }
        }
    }
}

fn serve(
    stream: TcpStream,
    permit: Option<OwnedSemaphorePermit>,
    context: &Arc<Context>,
    connections: &TaskTracker,
    seats: &Mutex<Vec<Seat>>,
) {
    let served = |seat| connection::serve(stream, Arc::clone(context), seat);
    spawn(served, permit, context, connections, seats);
}

/// Gives a connection its seat and its task.
pub(crate) fn spawn<F>(
    served: impl FnOnce(Seat) -> F,
    permit: Option<OwnedSemaphorePermit>,
    context: &Arc<Context>,
    connections: &TaskTracker,
    seats: &Mutex<Vec<Seat>>,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let seat = take_seat(seats);
    let served = served(seat.clone());
    let context = Arc::clone(context);
    let open = context.stats.open.fetch_add(1, Relaxed) + 1;
    if open >= context.limits.max_connections as u64 {
        context.stats.saturated.store(true, Relaxed);
    }
    connections.spawn(async move {
        let _leave = Leave { context: Arc::clone(&context), seat, _permit: permit };
        tokio::select! {
            biased;
            () = served => {}
            () = context.life.cut.cancelled() => {}
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
    context: Arc<Context>,
    seat: Seat,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.seat.give_back();
        self.context.stats.open.fetch_sub(1, Relaxed);
        has_room(&self.context);
    }
}

/// A connection was accepted, or one has ended: there is room, unless the limit is near.
fn has_room(context: &Context) {
    let most = context.limits.max_connections as u64;
    // Some distance between on and off, so that the driver is not made to flap.
    if context.stats.open.load(Relaxed) <= most.saturating_sub((most / 16).max(1)) {
        context.stats.saturated.store(false, Relaxed);
    }
}

/// accept(2) reports errors of the one connection (ECONNABORTED and the network errors its page lists) and of the whole
/// process or host. After the latter there is no room: connections that nobody can accept must not be steered here. An
/// immediate retry would spin.
async fn survive(error: &io::Error, context: &Context) {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
            if !context.stats.saturated.swap(true, Relaxed) {
                log::warn!(
                    "could not accept connections, which are the application's until that is over: {error}"
                );
            }
        }
        _ => log::debug!("a connection broke off before it was accepted: {error}"),
    }
    sleep(BACK_OFF).await;
}
