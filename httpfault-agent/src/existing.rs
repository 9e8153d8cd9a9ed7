//! The connections that clients hold when the fault starts: found, drained where that is asked for, counted.

use std::{
    collections::{HashMap, HashSet},
    net::{Shutdown, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use procfs::process::Process;
use rustix::io::ioctl_fionread;
use socket2::Socket;

use crate::{
    cgroup::Cgroup,
    drain::{History, Sample},
    netns::Netns,
    scope::Scope,
    sockets::{self, Connection, Held, canonical},
    sys,
};

/// What looking at one connection may cost, seven system calls and some; how often each one is looked at follows from
/// their number. A busy connection is idle for moments only, so often is better.
const LOOK_COST: Duration = Duration::from_micros(100);
const LOOK_FASTEST: Duration = Duration::from_millis(5);
const LOOK_SLOWEST: Duration = Duration::from_millis(100);
/// How often the namespace's socket table is read: late arrivals, and descriptors that moved.
const LIST_EVERY: Duration = Duration::from_secs(1);
/// A handshake that was under way when steering came on ends within this.
const LATE_ARRIVALS: Duration = Duration::from_secs(2);
/// How long the application has to close a connection whose end it was told.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Finds a target's connections.
pub(crate) struct Finder {
    netns: Arc<Netns>,
    cgroup: Cgroup,
    scope: Scope,
    port: u16,
}

/// What was found and done, shared with the report.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Every existing connection, by its client.
    found: Mutex<HashSet<SocketAddr>>,
    /// Those whose application was told that they end.
    told: Mutex<HashSet<SocketAddr>>,
}

/// One existing connection.
struct Watched {
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
    pub(crate) fn found(&self) -> HashSet<SocketAddr> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn told(&self) -> HashSet<SocketAddr> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Finder {
    pub(crate) fn new(netns: Arc<Netns>, cgroup: Cgroup, scope: Scope, port: u16) -> Self {
        Self { netns, cgroup, scope, port }
    }

    /// The target's established connections in scope, by cookie, without those that the agent itself made.
    fn established(&self) -> anyhow::Result<HashMap<u64, (Held, SocketAddr)>> {
        let held = sockets::held_by(&self.cgroup.processes()?);
        let own = sockets::held_by(&[Process::myself()?]);
        let agents: HashSet<SocketAddr> = sockets::connected_to(&self.netns, self.port)?
            .into_iter()
            .filter(|connection| own.contains_key(&connection.inode))
            .map(|connection| connection.local)
            .collect();
        let ours = |connection: &Connection| {
            self.scope.serves(connection.local.ip()) && !agents.contains(&connection.remote)
        };
        let found = sockets::established(&self.netns, self.port)?.into_iter().filter(ours);
        let with_holder = |one: Connection| Some((one.cookie, (*held.get(&one.inode)?, one.remote)));
        Ok(found.filter_map(with_holder).collect())
    }

    /// Takes note of the connections that are open now.
    pub(crate) fn find(&self, tally: &Tally) -> anyhow::Result<()> {
        let clients = self.established()?.into_values().map(|(_, client)| client);
        tally.found.lock().unwrap_or_else(PoisonError::into_inner).extend(clients);
        Ok(())
    }

    /// The clients of the connections that are open now.
    pub(crate) fn open(&self) -> anyhow::Result<HashSet<SocketAddr>> {
        Ok(self.established()?.into_values().map(|(_, client)| client).collect())
    }

    /// Closes the application's ends of connections whose clients are gone.
    pub(crate) fn dismiss(&self, clients: &HashSet<SocketAddr>) -> anyhow::Result<()> {
        if clients.is_empty() {
            return Ok(());
        }
        for (held, client) in self.established()?.into_values() {
            if clients.contains(&client)
                && let Ok(socket) = borrow(held, client)
            {
                // It may have been closed meanwhile, which is what is wanted.
                let _closed = socket.shutdown(Shutdown::Both);
            }
        }
        Ok(())
    }

    /// Closes existing connections as soon as they are idle, until it is dropped.
    pub(crate) async fn drain(&self, tally: &Tally) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut connections: HashMap<u64, Watched> = HashMap::new();
        let mut listed: Option<Instant> = None;
        loop {
            let number = u32::try_from(connections.len()).unwrap_or(u32::MAX);
            tokio::time::sleep(LOOK_COST.saturating_mul(number).clamp(LOOK_FASTEST, LOOK_SLOWEST)).await;
            let arrivals = began.elapsed() < LATE_ARRIVALS;
            if listed.is_none_or(|at| at.elapsed() >= LIST_EVERY) {
                listed = Some(Instant::now());
                let established = self.established()?;
                let mut found = tally.found.lock().unwrap_or_else(PoisonError::into_inner);
                for (cookie, (held, client)) in established {
                    if let Some(known) = connections.get_mut(&cookie) {
                        known.held = held;
                    } else if arrivals || found.contains(&client) {
                        found.insert(client);
                        let fresh = Watched { held, client, history: History::default(), told: None };
                        connections.insert(cookie, fresh);
                    }
                }
            }
            connections.retain(|_, connection| match connection.look() {
                Look::Gone => false,
                Look::Busy => true,
                Look::Told => {
                    connection.told.get_or_insert_with(Instant::now);
                    tally.told.lock().unwrap_or_else(PoisonError::into_inner).insert(connection.client);
                    true
                }
            });
            if connections.is_empty() && !arrivals {
                return Ok(());
            }
        }
    }
}

impl Watched {
    /// Looks at the connection through a borrowed descriptor, and tells its application that it ends if it is idle.
    fn look(&mut self) -> Look {
        let Ok(socket) = borrow(self.held, self.client) else { return Look::Gone };
        let Ok(sample) = sample(&socket) else { return Look::Gone };
        match self.told {
            Some(at) if at.elapsed() < CLOSE_WITHIN => Look::Busy,
            Some(_) if sample.pending => Look::Busy,
            // It was told and stays: close our half too, so that the client knows.
            Some(_) => told(&socket, Shutdown::Both),
            // End of input first: a request that arrives at this very moment is still answered, then the application
            // closes the connection itself, as it does when its client closes.
            None if self.history.may_close(sample) => told(&socket, Shutdown::Read),
            None => Look::Busy,
        }
    }
}

/// The application's end of a client's connection. The application may have closed it and reused the descriptor's
/// number for something else, which is not touched.
fn borrow(held: Held, client: SocketAddr) -> anyhow::Result<Socket> {
    let socket = held.borrow()?;
    let peer = socket.peer_addr()?.as_socket().map(canonical);
    anyhow::ensure!(peer == Some(client), "the descriptor is another connection's");
    Ok(socket)
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
        pending: unread > 0 || info.tcpi_notsent_bytes > 0,
        unacknowledged: info.tcpi_unacked,
        bytes_received: info.tcpi_bytes_received,
        bytes_sent: info.tcpi_bytes_sent,
        since_received_ms: info.tcpi_last_data_recv,
        since_sent_ms: info.tcpi_last_data_sent,
    })
}
