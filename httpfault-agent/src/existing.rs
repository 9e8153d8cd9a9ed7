//! The connections that clients hold when the fault starts: found, drained where that is asked for, counted.

use std::{
    collections::{HashMap, HashSet},
    net::{Shutdown, SocketAddr},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use procfs::{
    net::{TcpNetEntry, TcpState},
    process::Process,
};
use rustix::io::ioctl_fionread;
use socket2::Socket;

use crate::{
    cgroup::Cgroup,
    drain::{History, Sample},
    scope::Scope,
    sockets::{self, Held, canonical},
    sys,
};

/// How often each connection is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// How often the namespace's socket table is read: late arrivals, and descriptors that moved.
const LIST_EVERY: Duration = Duration::from_secs(1);
/// A handshake that was under way when steering came on ends within this.
const LATE_ARRIVALS: Duration = Duration::from_secs(2);
/// How long the application has to close a connection whose end it was told.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Finds a target's connections.
pub(crate) struct Finder {
    pid: u32,
    cgroup: Cgroup,
    scope: Scope,
    port: u16,
}

/// Counts, shared with the report.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    found: AtomicU64,
    drained: AtomicU64,
}

/// One existing connection.
struct Connection {
    held: Held,
    client: SocketAddr,
    history: History,
    /// When its application was told that it ends.
    told: Option<Instant>,
}

/// What became of one look at a connection.
enum Look {
    /// Not a connection of this client any more.
    Gone,
    Busy,
    Told,
}

impl Tally {
    pub(crate) fn found(&self) -> u64 {
        self.found.load(Ordering::Relaxed)
    }

    pub(crate) fn drained(&self) -> u64 {
        self.drained.load(Ordering::Relaxed)
    }
}

impl Finder {
    pub(crate) fn new(pid: u32, cgroup: Cgroup, scope: Scope, port: u16) -> Self {
        Self { pid, cgroup, scope, port }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The target's established connections in scope, by inode, without those that the agent itself made.
    fn established(&self) -> anyhow::Result<HashMap<u64, (Held, SocketAddr)>> {
        let entries = sockets::in_namespace_of(self.pid)?;
        let held = sockets::held_by(&self.cgroup.processes()?);
        let agents = sockets::held_by(&[Process::myself()?]);
        let agent_ends: HashSet<SocketAddr> = entries
            .iter()
            .filter(|entry| agents.contains_key(&entry.inode))
            .map(|entry| canonical(entry.local_address))
            .collect();
        let ours = |entry: &&TcpNetEntry| {
            let local = canonical(entry.local_address);
            entry.state == TcpState::Established
                && local.port() == self.port
                && self.scope.serves(local.ip())
                && !agent_ends.contains(&canonical(entry.remote_address))
        };
        let with_holder = |entry: &TcpNetEntry| {
            Some((entry.inode, (*held.get(&entry.inode)?, canonical(entry.remote_address))))
        };
        Ok(entries.iter().filter(ours).filter_map(with_holder).collect())
    }

    /// Counts the connections that are open now; the returned clients are those to look for at the end.
    pub(crate) fn count(&self, tally: &Tally) -> anyhow::Result<HashSet<SocketAddr>> {
        let clients: HashSet<SocketAddr> =
            self.established()?.into_values().map(|(_, client)| client).collect();
        tally.found.store(clients.len() as u64, Ordering::Relaxed);
        Ok(clients)
    }

    /// How many of these clients' connections are still open.
    pub(crate) fn still_open(&self, clients: &HashSet<SocketAddr>) -> anyhow::Result<u64> {
        Ok(self.established()?.values().filter(|(_, client)| clients.contains(client)).count() as u64)
    }

    /// Closes existing connections as soon as they are idle, until it is dropped. Each one that is found late is added
    /// to `clients`.
    pub(crate) async fn drain(
        &self,
        tally: &Tally,
        clients: &Mutex<HashSet<SocketAddr>>,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut connections: HashMap<u64, Connection> = HashMap::new();
        let mut listed: Option<Instant> = None;
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            let arrivals = began.elapsed() < LATE_ARRIVALS;
            if listed.is_none_or(|at| at.elapsed() >= LIST_EVERY) {
                listed = Some(Instant::now());
                let established = self.established()?;
                let mut clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
                for (inode, (held, client)) in established {
                    if let Some(known) = connections.get_mut(&inode) {
                        known.held = held;
                    } else if arrivals || clients.contains(&client) {
                        if clients.insert(client) {
                            tally.found.fetch_add(1, Ordering::Relaxed);
                        }
                        let fresh = Connection { held, client, history: History::default(), told: None };
                        connections.insert(inode, fresh);
                    }
                }
            }
            connections.retain(|_, connection| match connection.look() {
                Look::Gone => {
                    if connection.told.is_some() {
                        tally.drained.fetch_add(1, Ordering::Relaxed);
                    }
                    false
                }
                Look::Busy => true,
                Look::Told => {
                    connection.told.get_or_insert_with(Instant::now);
                    true
                }
            });
            if connections.is_empty() && !arrivals {
                return Ok(());
            }
        }
    }
}

impl Connection {
    /// Looks at the connection through a borrowed descriptor, and tells its application that it ends if it is idle.
    fn look(&mut self) -> Look {
        let Ok(socket) = self.held.borrow() else { return Look::Gone };
        let client = socket.peer_addr().ok().and_then(|peer| peer.as_socket()).map(canonical);
        // The application may have reused the descriptor's number for something else.
        if client != Some(self.client) {
            return Look::Gone;
        }
        let Ok(sample) = sample(&socket) else { return Look::Gone };
        match self.told {
            Some(at) if at.elapsed() < CLOSE_WITHIN => Look::Busy,
            Some(_) if sample.in_flight => Look::Busy,
            // It was told and stays: close our half too, so that the client knows.
            Some(_) => told(&socket, Shutdown::Both),
            // End of input first: a request that arrives at this very moment is still answered, then the application
            // closes the connection itself, as it does when its client closes.
            None if self.history.may_close(sample) => told(&socket, Shutdown::Read),
            None => Look::Busy,
        }
    }
}

fn told(socket: &Socket, how: Shutdown) -> Look {
    match socket.shutdown(how) {
        Ok(()) => Look::Told,
        Err(_not_connected) => Look::Gone,
    }
}

fn sample(socket: &Socket) -> anyhow::Result<Sample> {
    let info = sys::tcp_info(socket)?;
    let unread = ioctl_fionread(socket)?;
    Ok(Sample {
        in_flight: unread > 0 || info.tcpi_unacked > 0 || info.tcpi_notsent_bytes > 0,
        bytes_received: info.tcpi_bytes_received,
        bytes_sent: info.tcpi_bytes_sent,
        since_received_ms: info.tcpi_last_data_recv,
        since_sent_ms: info.tcpi_last_data_sent,
    })
}
