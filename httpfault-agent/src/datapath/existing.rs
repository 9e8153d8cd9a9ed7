//! The kernel programs of existing connections: the gate on each of them, and the notes that they leave.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use anyhow::Context as _;
use aya::maps::{Array, HashMap, MapData, RingBuf, SockHash};
use httpfault_common::abi::existing::{Leases, Note, Watched, map, program};
use socket2::Socket;

use super::{
    bpf,
    object::{EXISTING_CONNECTIONS, Object},
};

/// The loaded programs. Gates go with their connections at the latest; without this they let everything in.
pub(crate) struct Gates {
    object: Object,
    watched: HashMap<MapData, u64, Watched>,
    corks: HashMap<MapData, u64, u64>,
    taken: SockHash<MapData, u64>,
    hole: SockHash<MapData, u64>,
    /// The two ends of the hole's connection: a socket leaves its map when it is closed.
    hole_ends: Vec<Socket>,
    leases: Array<MapData, Leases>,
}

/// What the programs tell, in order.
pub(crate) struct Notes(RingBuf<MapData>);

impl Gates {
    /// With the verdict only where connections are to be taken: not every kernel has such programs.
    pub(crate) fn load(taking: bool) -> anyhow::Result<(Self, Notes)> {
        let both = [program::GATE, program::VERDICT];
        let names = if taking { &both[..] } else { &both[..1] };
        let object = Object::load(&EXISTING_CONNECTIONS, names, false)?;
        let watched = object.map(map::WATCHED)?;
        let corks = object.map(map::CORKS)?;
        let taken = object.map(map::TAKEN)?;
        let hole = object.map(map::HOLE)?;
        let leases = object.map(map::LEASES)?;
        let notes = object.map(map::NOTES)?;
        Ok((Self { object, watched, corks, taken, hole, hole_ends: Vec::new(), leases }, Notes(notes)))
    }

    /// Puts the gate on a connection. The entry is there first, so that no segment goes by unseen.
    pub(crate) fn watch(&mut self, socket: impl AsFd, cookie: u64, state: u32) -> anyhow::Result<()> {
        self.set(cookie, Watched { state, ..Watched::default() })?;
        if let Err(why) = bpf::attach_filter(socket, self.object.program(program::GATE)?) {
            self.forget(cookie);
            return Err(why).context("attaching httpfault_gate to an existing connection");
        }
        Ok(())
    }

    /// Takes the gate off again. A connection that is gone took it along.
    pub(crate) fn unwatch(&mut self, socket: impl AsFd, cookie: u64) -> anyhow::Result<()> {
        bpf::detach_filter(socket).context("detaching httpfault_gate from an existing connection")?;
        self.forget(cookie);
        Ok(())
    }

    /// What was seen of a connection; `None` where it is not watched.
    pub(crate) fn seen(&self, cookie: u64) -> Option<Watched> {
        self.watched.get(&cookie, 0).ok()
    }

    /// Replaces what is known of a connection.
    pub(crate) fn set(&mut self, cookie: u64, watched: Watched) -> anyhow::Result<()> {
        self.watched.insert(cookie, watched, 0).context("writing what is known of an existing connection")
    }

    /// Forgets a connection that is gone.
    pub(crate) fn forget(&mut self, cookie: u64) {
        // Absent is what is wanted.
        let _absent = self.watched.remove(&cookie);
        let _absent = self.corks.remove(&cookie);
    }

    /// Refuses a connection's payload until then, `CLOCK_BOOTTIME` in nanoseconds.
    pub(crate) fn cork(&mut self, cookie: u64, until_ns: u64) -> anyhow::Result<()> {
        self.corks.insert(cookie, until_ns, 0).context("corking an existing connection")
    }

    pub(crate) fn uncork(&mut self, cookie: u64) {
        // Absent is what is wanted.
        let _absent = self.corks.remove(&cookie);
    }

    /// Attaches the verdict to the connections that are taken from here on.
    pub(crate) fn attach_verdict(&mut self) -> anyhow::Result<()> {
        let taken = self.object.descriptor(map::TAKEN)?;
        bpf::attach_verdict(self.object.program(program::VERDICT)?, taken).context("attaching httpfault_take")
    }

    /// From here on what the client sends goes to the notes.
    pub(crate) fn take(&mut self, socket: &Socket, cookie: u64) -> anyhow::Result<()> {
        self.taken.insert(cookie, socket.as_raw_fd(), 0).context("taking an existing connection")
    }

    /// From here on it goes to the application again. A connection that is closed went by itself.
    pub(crate) fn untake(&mut self, cookie: u64) {
        let _gone = self.taken.remove(&cookie);
    }

    /// The socket that swallows what is redirected to it, and its peer.
    pub(crate) fn dig_hole(&mut self, hole: Socket, peer: Socket, key: u64) -> anyhow::Result<()> {
        self.hole
            .insert(key, hole.as_raw_fd(), 0)
            .context("making the socket that swallows what was taken")?;
        self.hole_ends.extend([hole, peer]);
        Ok(())
    }

    /// Renews the lease of the gates.
    pub(crate) fn renew(&mut self, leases: Leases) -> anyhow::Result<()> {
        self.leases.set(0, leases, 0).context("renewing the lease of existing connections")
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
