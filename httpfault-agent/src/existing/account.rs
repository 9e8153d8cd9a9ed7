//! The account of a connection's bytes, which proves that none is on its way while its socket goes into the map of what is
//! taken, or out of it.
//!
//! The gate tells by sequence number how far it let payload in, TCP_INFO how many bytes were received. What makes one of
//! them comparable with the other is learned once. From then on "all that was let in was received" and "all that was let
//! in was eaten" are comparisons of numbers, at a moment at which nothing more is let in.

use std::{io, net::SocketAddr};

use anyhow::Context as _;
use httpfault_common::abi::existing::{THERE_IS, Watched};
use rustix::thread::{MembarrierCommand, membarrier};
use socket2::Socket;

use crate::{datapath::received::Received, sockets::canonical, sys};

/// How often it is tried to look at a connection without a segment coming in between.
const ATTEMPTS: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// The sequence number of the first byte that was ever received.
    first: u32,
}

/// Waits until every segment that had passed a gate, or had come before there was one, is where TCP has it: segments are
/// handed over within a read-side critical section of RCU, and this waits for the end of all of them.
pub(super) fn await_landing() -> io::Result<()> {
    Ok(membarrier(MembarrierCommand::Global)?)
}

impl Account {
    /// Learns it; `None` where the connection never pauses or is gone. On a thread in its namespace, after
    /// [`await_landing`].
    pub(super) fn open(socket: &Socket, received: &Received) -> anyhow::Result<Option<Self>> {
        let Some((local, remote)) = ends(socket) else { return Ok(None) };
        for _ in 0..ATTEMPTS {
            let Some(before) = received.next(local, remote)? else { return Ok(None) };
            // Takes the socket's lock: nothing is received while it looks.
            let bytes = sys::tcp_info(socket).context("looking at a connection")?.tcpi_bytes_received;
            if received.next(local, remote)? == Some(before) {
                return Ok(Some(Self { first: before.wrapping_sub(modulo(bytes)) }));
            }
        }
        Ok(None)
    }

    /// Whether all payload that was let in is among the first so many bytes.
    pub(super) fn covers(&self, bytes: u64, seen: &Watched) -> bool {
        let next = self.first.wrapping_add(modulo(bytes));
        seen.admitted & THERE_IS == 0 || next.wrapping_sub(modulo(seen.admitted)).cast_signed() >= 0
    }
}

/// As sequence numbers count.
#[expect(clippy::cast_possible_truncation, reason = "sequence numbers are modulo 2^32")]
fn modulo(bytes: u64) -> u32 {
    bytes as u32
}

fn ends(socket: &Socket) -> Option<(SocketAddr, SocketAddr)> {
    let local = socket.local_addr().ok()?.as_socket()?;
    let remote = socket.peer_addr().ok()?.as_socket()?;
    Some((canonical(local), canonical(remote)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn let_in_to(end: u32) -> Watched {
        Watched { admitted: THERE_IS | u64::from(end), ..Watched::default() }
    }

    #[test]
    fn what_was_let_in_and_not_received_is_on_its_way() {
        let account = Account { first: 1000 };
        assert!(account.covers(0, &Watched::default()), "nothing was let in");
        assert!(account.covers(29, &let_in_to(1029)));
        assert!(!account.covers(29, &let_in_to(1058)));
    }

    #[test]
    fn the_end_of_input_counts_as_received() {
        assert!(Account { first: 1000 }.covers(30, &let_in_to(1029)));
    }

    #[test]
    fn sequence_numbers_wrap() {
        let account = Account { first: u32::MAX - 9 };
        assert!(!account.covers(9, &let_in_to(10)));
        assert!(account.covers(20, &let_in_to(10)));
        assert!(account.covers((1 << 32) + 20, &let_in_to(10)), "more than 4 GB were received");
    }
}
