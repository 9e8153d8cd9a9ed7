//! The accept loops.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, SocketAddrAny, getpeername, getsockname, recv, send},
};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::yield_now,
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

use crate::{
    activity::{Doing, Phase, Seat},
    connection::{self, Accepted},
    context::Context,
    http1::{Begun, Stop, answer_at_once},
    listening::Listening,
    scratch::with_scratch,
    sniff::{Protocol, sniff},
};

/// How long an accept loop waits when the process or the host is out of descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(50);
/// Connections that are accepted before others get their turn.
const BATCH: usize = 32;
/// Idle connections that are asked to close when one place is needed: one part in this many of all.
const CLOSED_AT_ONCE: usize = 256;

/// Whether clients were still waiting to be accepted when everything closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    Nobody,
    Somebody,
}

/// One listening socket's loop.
pub(crate) struct Acceptor {
    pub(crate) listener: Listening,
    pub(crate) context: Arc<Context>,
    pub(crate) free: Arc<Semaphore>,
    pub(crate) connections: TaskTracker,
}

impl Acceptor {
    /// Accepts until everything closes.
    pub(crate) async fn run(self) -> Late {
        let seat = self.context.life.take_seat();
        seat.set(Doing::Accepting);
        let mut late = Late::Nobody;
        loop {
            tokio::select! {
                biased;
                ready = self.listener.readable() => match ready {
                    Ok(()) => self.accept_some(&seat, &mut late).await,
                    Err(error) => survive(&error, &self.context).await,
                },
                () = seat.reached(&self.context.life, Phase::Closing) => break,
            }
        }
        seat.give_back();
        // Without descriptors the queue can't be emptied, and the end must come nevertheless.
        match timeout(self.context.limits.last_time, self.empty_queue()).await {
            Ok(Late::Nobody) | Err(_) => late,
            Ok(Late::Somebody) => Late::Somebody,
        }
    }

    async fn accept_some(&self, seat: &Seat, late: &mut Late) {
        for _ in 0..BATCH {
            let socket = match self.listener.try_accept() {
                Ok(socket) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return survive(&error, &self.context).await,
            };
            has_room(&self.context);
            let Some(accepted) = first_look(socket, &self.context) else { continue };
            let place = self.place(seat).await;
            if place.is_none() {
                *late = Late::Somebody;
            }
            self.serve(accepted, place);
        }
        yield_now().await;
    }

    /// Waits for a free place, which idle connections are asked to make. In the end nobody waits: the queue is short by
    /// then, because nothing is steered here.
    async fn place(&self, seat: &Seat) -> Option<OwnedSemaphorePermit> {
        let free = || Arc::clone(&self.free);
        if let Ok(place) = free().try_acquire_owned() {
            return Some(place);
        }
        loop {
            self.context.life.close_idlest((self.context.limits.max_connections / CLOSED_AT_ONCE).max(1));
            tokio::select! {
                biased;
                place = free().acquire_owned() => return place.ok(),
                () = seat.reached(&self.context.life, Phase::Closing) => return None,
                // Others may be idle by then.
                () = sleep(BACK_OFF) => {}
            }
        }
    }

    /// Takes what the kernel had already queued, beyond the limit too: closing a listener resets those connections, and
    /// no more are coming.
    async fn empty_queue(self) -> Late {
        let mut late = Late::Nobody;
        loop {
            // The runtime may not have noticed the last ones yet.
            match self.listener.accept_now() {
                Ok(socket) => {
                    late = Late::Somebody;
                    if let Some(accepted) = first_look(socket, &self.context) {
                        self.serve(accepted, None);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return late,
                Err(error) => survive(&error, &self.context).await,
            }
        }
    }

    fn serve(&self, accepted: Accepted, place: Option<OwnedSemaphorePermit>) {
        let served = |seat| connection::serve(accepted, Arc::clone(&self.context), seat);
        spawn(served, place, &self.context, &self.connections);
    }
}

/// Looks at what the client has sent with its connection. Most have sent all that they ask for: a request that is
/// answered here and is the last of its connection costs neither a task nor a place among the events that are waited for.
/// `None`: the connection is done.
fn first_look(socket: OwnedFd, context: &Context) -> Option<Accepted> {
    // Fails only for a connection that the client has already reset.
    let local = getsockname(&socket).ok().and_then(address)?;
    if !is_welcome(&socket, local, context) {
        return None;
    }
    with_scratch(|read, out| {
        let count = match recv(&socket, &mut *read, RecvFlags::DONTWAIT) {
            Ok((0, _)) => return None,
            Ok((count, _)) => count,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(errno) => {
                log::debug!("a connection broke off when it was accepted: {errno}");
                return None;
            }
        };
        let bytes = &read[..count];
        let protocol = sniff(bytes);
        if protocol != Some(Protocol::Http1) {
            return accepted(socket, local, protocol, bytes, Begun::default());
        }
        let (used, stop) = answer_at_once(context, bytes, out);
        let sent = match out.is_empty() {
            true => 0,
            false => send(&socket, out, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).unwrap_or(0),
        };
        if matches!(stop, Stop::Ends) && sent == out.len() && used == count {
            return None;
        }
        let begun = Begun { unsent: Bytes::copy_from_slice(&out[sent..]), stopped: Some(stop) };
        accepted(socket, local, protocol, &bytes[used..], begun)
    })
}

/// Whether the connection was steered here: then its local port is the application's. One to the responder's own port is
/// asked about; a connection that is refused is not counted.
fn is_welcome(socket: &OwnedFd, local: SocketAddr, context: &Context) -> bool {
    if local.port() != context.destination.proxy_port {
        return true;
    }
    let client = getpeername(socket).ok().flatten().and_then(address);
    client.is_some_and(|client| context.upstream.was_sent_here(client, local))
}

fn address(known: SocketAddrAny) -> Option<SocketAddr> {
    SocketAddr::try_from(known).ok()
}

fn accepted(
    socket: OwnedFd,
    local: SocketAddr,
    protocol: Option<Protocol>,
    read: &[u8],
    begun: Begun,
) -> Option<Accepted> {
    match TcpStream::from_std(socket.into()) {
        Ok(stream) => Some(Accepted { stream, local, protocol, read: read.into(), begun }),
        Err(error) => {
            log::warn!("could not serve a connection: {error}");
            None
        }
    }
}

/// Gives a connection its seat and its task.
pub(crate) fn spawn<F>(
    served: impl FnOnce(Seat) -> F,
    place: Option<OwnedSemaphorePermit>,
    context: &Arc<Context>,
    connections: &TaskTracker,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let seat = context.life.take_seat();
    let served = served(seat.clone());
    let context = Arc::clone(context);
    let open = context.stats.open.fetch_add(1, Relaxed) + 1;
    if open >= context.limits.max_connections as u64 {
        context.stats.saturated.store(true, Relaxed);
    }
    connections.spawn(async move {
        let leave = Leave { context: Arc::clone(&context), seat, _place: place };
        tokio::select! {
            biased;
            () = served => {}
            () = leave.seat.reached(&context.life, Phase::Cut) => {}
        }
    });
}

/// Gives a connection's place back however its task ends.
struct Leave {
    context: Arc<Context>,
    seat: Seat,
    _place: Option<OwnedSemaphorePermit>,
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
    let most = context.stats.most_open.load(Relaxed).min(context.limits.max_connections as u64);
    // Some distance between on and off, so that the driver is not made to flap.
    if context.stats.open.load(Relaxed) <= most.saturating_sub((most / 16).max(1)) {
        context.stats.most_open.store(u64::MAX, Relaxed);
        context.stats.saturated.store(false, Relaxed);
    }
}

/// accept(2) reports errors of the one connection (ECONNABORTED and the network errors its page lists) and of the whole
/// process or host. After the latter there is no room: connections that nobody can accept must not be steered here. An
/// immediate retry would spin.
async fn survive(error: &io::Error, context: &Context) {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
            // There is room again when some of what is open now has ended.
            context.stats.most_open.store(context.stats.open.load(Relaxed), Relaxed);
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
