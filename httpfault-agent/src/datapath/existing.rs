//! The kernel programs of existing connections: the gate on each of them, and the notes that they leave.

use std::{
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
    sync::atomic::{Ordering, fence},
};

use anyhow::Context as _;
use aya::maps::{Array, HashMap, MapData, RingBuf, SockHash};
use httpfault_common::abi::existing::{Leases, Note, Order, Watched, map, program, state};
use socket2::Socket;

use super::{
    bpf,
    object::{EXISTING_CONNECTIONS, Object},
    received::Received,
};
use crate::clock::boot_ns;

/// How long gates refuse anything without a beat of the keeper.
const LEASE_NS: u64 = 1_000_000_000;
/// Maps that only taking needs. Of notes there are few else.
const OF_TAKING: [&str; 3] = [map::TAKEN, map::HOLE, map::NOTES];

/// The loaded programs. Gates go with their connections at the latest; without this they let everything in.
pub(crate) struct Gates {
    object: Object,
    gate: &'static str,
    watched: HashMap<MapData, u64, Watched>,
    orders: HashMap<MapData, u64, Order>,
    /// What the map of orders has.
    given: std::collections::HashMap<u64, Order>,
    taken: SockHash<MapData, u64>,
    hole: SockHash<MapData, u64>,
    /// The two ends of the hole's connection: a socket leaves its map when it is closed.
    hole_ends: Vec<Socket>,
    leases: Array<MapData, Leases>,
    /// As it was renewed last.
    lease: Leases,
}

/// What the programs tell, in order.
pub(crate) struct Notes(RingBuf<MapData>);

impl Gates {
    /// What only taking needs is loaded only where connections are to be taken: not every kernel has such programs.
    pub(crate) fn load(taking: bool) -> anyhow::Result<(Self, Notes)> {
        let of_taking = [program::COUNTING_GATE, program::VERDICT, program::RECEIVED];
        let (gate, names, empty) = if taking {
            (program::COUNTING_GATE, &of_taking[..], &[][..])
        } else {
            (program::GATE, &[program::GATE][..], &OF_TAKING[..])
        };
        let object = Object::load(&EXISTING_CONNECTIONS, names, empty, false)?;
        let gates = Self {
            gate,
            watched: object.map(map::WATCHED)?,
            orders: object.map(map::ORDERS)?,
            given: std::collections::HashMap::new(),
            taken: object.map(map::TAKEN)?,
            hole: object.map(map::HOLE)?,
            hole_ends: Vec::new(),
            leases: object.map(map::LEASES)?,
            lease: Leases::default(),
            object,
        };
        let notes = gates.object.map(map::NOTES)?;
        Ok((gates, Notes(notes)))
    }

    /// Puts the gate on a connection. The entries are there first, so that no segment goes by unseen.
    pub(crate) fn watch(&mut self, socket: impl AsFd, cookie: u64, state: u32) -> anyhow::Result<()> {
        self.watched
            .insert(cookie, Watched::default(), 0)
            .context("taking note of an existing connection")?;
        let order = self.give(cookie, |order| *order = Order { state, ..Order::default() });
        let attached = order.and_then(|()| {
            bpf::attach_filter(socket, self.object.program(self.gate)?)
                .with_context(|| format!("attaching {} to an existing connection", self.gate))
        });
        if attached.is_err() {
            self.forget(cookie);
        }
        attached
    }

    /// Takes the gate off again. A connection that is gone took it along.
    pub(crate) fn unwatch(&mut self, socket: impl AsFd, cookie: u64) -> anyhow::Result<()> {
        bpf::detach_filter(socket).context("detaching the gate from an existing connection")?;
        self.forget(cookie);
        Ok(())
    }

    /// What was seen of a connection; `None` where it is not watched.
    pub(crate) fn seen(&self, cookie: u64) -> Option<Watched> {
        self.watched.get(&cookie, 0).ok()
    }

    /// The same, when no payload is being decided about on an order that is no longer given; `None` where one is.
    pub(crate) fn seen_whole(&self, cookie: u64) -> Option<Watched> {
        let (before, seen) = (self.seen(cookie)?, self.seen(cookie)?);
        (before.decided == seen.begun).then_some(seen)
    }

    /// Forgets a connection that is gone.
    pub(crate) fn forget(&mut self, cookie: u64) {
        // Absent is what is wanted.
        let _absent = self.watched.remove(&cookie);
        let _absent = self.orders.remove(&cookie);
        self.given.remove(&cookie);
    }

    /// What happens to what the client sends (`abi::existing::state`).
    pub(crate) fn state(&self, cookie: u64) -> u32 {
        self.given.get(&cookie).map_or(state::WATCHED, |order| order.state)
    }

    /// How often it was taken.
    pub(crate) fn round(&self, cookie: u64) -> u32 {
        self.given.get(&cookie).map_or(0, |order| order.round)
    }

    pub(crate) fn set_state(&mut self, cookie: u64, state: u32) -> anyhow::Result<()> {
        self.give(cookie, |order| order.state = state)
    }

    /// Refuses a connection's payload until then, `CLOCK_BOOTTIME` in nanoseconds. What [`Gates::seen_whole`] tells from
    /// here on has all that was let in.
    pub(crate) fn cork(&mut self, cookie: u64, until_ns: u64) -> anyhow::Result<()> {
        // This process may have had no processor for a while, and a gate without a lease lets everything in.
        if self.lease.keeper_until_ns < boot_ns() + LEASE_NS / 2 {
            self.renew(self.lease.agent_until_ns)?;
        }
        self.give(cookie, |order| order.corked_until_ns = until_ns)
    }

    pub(crate) fn uncork(&mut self, cookie: u64) {
        // Where it can't be written it ends by itself.
        let _by_itself = self.give(cookie, |order| order.corked_until_ns = 0);
    }

    fn give(&mut self, cookie: u64, change: impl FnOnce(&mut Order)) -> anyhow::Result<()> {
        let mut order = self.given.get(&cookie).copied().unwrap_or_default();
        change(&mut order);
        self.orders.insert(cookie, order, 0).context("telling the gate of an existing connection")?;
        self.given.insert(cookie, order);
        // The gate counts a payload, then reads the order; whoever gave it reads the count afterwards. One of the two
        // sees what the other wrote.
        fence(Ordering::SeqCst);
        Ok(())
    }

    /// Asks TCP, from any thread.
    pub(crate) fn received(&self) -> anyhow::Result<Received> {
        Received::of(self.object.program(program::RECEIVED)?)
    }

    /// Attaches the verdict to the connections that are taken from here on.
    pub(crate) fn attach_verdict(&mut self) -> anyhow::Result<()> {
        let taken = self.object.descriptor(map::TAKEN)?;
        bpf::attach_verdict(self.object.program(program::VERDICT)?, taken).context("attaching httpfault_take")
    }

    /// From here on what the client sends goes to the notes.
    pub(crate) fn take(&mut self, socket: &Socket, cookie: u64) -> anyhow::Result<()> {
        self.give(cookie, |order| {
            order.state = state::TAKEN;
            order.round = order.round.wrapping_add(1);
        })?;
        let taken = self.taken.insert(cookie, socket.as_raw_fd(), 0).context("taking an existing connection");
        if taken.is_err() {
            self.set_state(cookie, state::WATCHED)?;
        }
        taken
    }

    /// From here on it goes to the application again. A connection that is closed went by itself.
    pub(crate) fn untake(&mut self, cookie: u64) {
        let _gone = self.taken.remove(&cookie);
        // One whose gate can't be written is let in by its lease.
        let _by_lease = self.set_state(cookie, state::WATCHED);
    }

    /// The socket that swallows what is redirected to it, and its peer.
    pub(crate) fn dig_hole(&mut self, hole: Socket, peer: Socket, key: u64) -> anyhow::Result<()> {
        self.hole
            .insert(key, hole.as_raw_fd(), 0)
            .context("making the socket that swallows what was taken")?;
        self.hole_ends.extend([hole, peer]);
        Ok(())
    }

    /// Renews the lease of the gates; the agent's part of it is what the agent says.
    pub(crate) fn renew(&mut self, agent_until_ns: u64) -> anyhow::Result<()> {
        let lease = Leases { keeper_until_ns: boot_ns() + LEASE_NS, agent_until_ns };
        self.leases.set(0, lease, 0).context("renewing the lease of existing connections")?;
        self.lease = lease;
        Ok(())
    }
}

impl Notes {
    /// The next note and the bytes that came with it.
    pub(crate) fn next(&mut self) -> Option<(Note, Vec<u8>)> {
        let entry = self.0.next()?;
        let (head, bytes) = entry.split_first_chunk::<{ size_of::<Note>() }>()?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *head;
        let note = Note {
            cookie: u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            what: u32::from_ne_bytes([i, j, k, l]),
            length: u32::from_ne_bytes([m, n, o, p]),
        };
        let bytes = bytes.get(..note.length as usize).unwrap_or_default().to_vec();
        Some((note, bytes))
    }
}

impl AsFd for Notes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
