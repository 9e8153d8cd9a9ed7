//! Taking a connection: from here on its requests go to the responder, and its application sees nothing of them.
//!
//! What the socket map must never see is data that is on its way: let in by the gate and not received yet, or received and
//! unread by the application (a reader's position in the stream goes back, and it never reads again); and a socket must
//! not leave the map before all that was let in was eaten (it would be gone). So payload is refused, by the gate, for the
//! microseconds around it, and the connection's [`Account`] must show that nothing is.

use std::{io, time::Duration};

use httpfault_common::abi::existing::{ONLY_REQUESTS, Watched};
use rustix::{
    fs::{OFlags, fcntl_getfl},
    io::ioctl_fionread,
    net::{RecvFlags, recv},
};
use socket2::Socket;

use super::{account::Account, carrier::Carrier, connection::is_whole, reader};
use crate::{clock::boot_ns, datapath::existing::Gates, sockets::Held, sys};

/// How long payload is refused at most while a connection is taken or given back, and what of that must be left when it
/// is done: this process may have been held up.
const CORK: Duration = Duration::from_millis(50);
const CORK_LEFT: Duration = Duration::from_millis(20);
/// How long a connection of a blocking reader must have been quiet, so that no thread is on its way into a read.
const QUIET_BLOCKING_MS: u32 = 10;

/// A taken connection. The descriptor is kept: an application that closes its own, an idle one after its own timeout,
/// does not take the connection from its client while it is the fault's.
pub(super) struct Taken {
    pub(super) socket: Socket,
    account: Account,
    /// Bytes that its application had received when it was taken, and that had been eaten in earlier rounds.
    received: u64,
    eaten_before: u64,
    /// Bytes that came as notes.
    pub(super) got: u64,
    /// To the responder, once there was a request.
    pub(super) carrier: Option<Carrier>,
    /// The responder said that its last answer is the last of the connection.
    pub(super) closed: bool,
    /// It was asked to let go of this connection and had done so before.
    pub(super) let_go: bool,
}

impl Taken {
    /// Whether every request seems to be answered; an answer that came before the whole of its request hides that.
    pub(super) fn is_at_rest(&self) -> bool {
        self.carrier.as_ref().is_none_or(Carrier::is_at_rest)
    }

    /// Whether the responder's part ended before every request was answered.
    pub(super) fn is_unanswered(&self) -> bool {
        self.carrier.as_ref().is_some_and(Carrier::is_out) && !self.is_at_rest()
    }

    /// Whether all that was let in was eaten, and all that was eaten is known here.
    pub(super) fn has_come(&self, cookie: u64, gates: &Gates) -> bool {
        let has = gates.seen_whole(cookie).is_some_and(|seen| self.has_all(&seen));
        if !has {
            // Received, and held back by the kernel.
            look_into(&self.socket);
        }
        has
    }

    /// Takes it out of the map if all that was let in was eaten, and all that was eaten is known here.
    pub(super) fn untake(&self, cookie: u64, gates: &mut Gates) -> bool {
        let until = corked_until();
        let done = gates.cork(cookie, until).is_ok() && self.has_come(cookie, gates) && holds(until);
        if done {
            gates.untake(cookie);
        }
        gates.uncork(cookie);
        done
    }

    fn has_all(&self, seen: &Watched) -> bool {
        let eaten = seen.eaten.saturating_sub(self.eaten_before);
        eaten == self.got && self.account.covers(self.received + eaten + seen.passed, seen)
    }
}

/// When a cork ends that begins now.
pub(super) fn corked_until() -> u64 {
    later(CORK)
}

/// So long from now, for any payload.
pub(super) fn later(time: Duration) -> u64 {
    (boot_ns() + u64::try_from(time.as_nanos()).unwrap_or(0)) & !ONLY_REQUESTS
}

/// Whether a cork still has enough of its time.
pub(super) fn holds(corked_until: u64) -> bool {
    let margin = u64::try_from(CORK_LEFT.as_nanos()).unwrap_or(0);
    boot_ns() + margin < corked_until
}

/// Whether the application reads this connection when it is told that there is something to read.
pub(super) fn is_event_loop(socket: &Socket) -> bool {
    fcntl_getfl(socket).is_ok_and(|flags| flags.contains(OFlags::NONBLOCK))
}

/// Takes a connection if it is at rest. `None`: not now.
pub(super) fn take(
    socket: Socket,
    held: Held,
    cookie: u64,
    account: Account,
    gates: &mut Gates,
) -> anyhow::Result<Option<Taken>> {
    // A reader that was preempted in the middle of a read goes on with the position that it knew.
    let may = || {
        if is_event_loop(&socket) {
            reader::all_sleep(held.pid)
        } else {
            reader::sleeps_on(held.pid, held.descriptor())
        }
    };
    if !may() {
        return Ok(None);
    }
    let until = corked_until();
    gates.cork(cookie, until)?;
    let taken = try_take(&socket, cookie, account, gates, || may() && holds(until));
    gates.uncork(cookie);
    let Some((received, eaten_before)) = taken? else { return Ok(None) };
    Ok(Some(Taken {
        socket,
        account,
        received,
        eaten_before,
        got: 0,
        carrier: None,
        closed: false,
        let_go: false,
    }))
}

/// Of one that is corked; the bytes that it had received, and that had been eaten, when it was taken.
fn try_take(
    socket: &Socket,
    cookie: u64,
    account: Account,
    gates: &mut Gates,
    may: impl Fn() -> bool,
) -> anyhow::Result<Option<(u64, u64)>> {
    let Some(seen) = gates.seen_whole(cookie) else { return Ok(None) };
    // Takes the socket's lock: what waited for it has been received when this is told.
    let info = sys::tcp_info(socket)?;
    let received = info.tcpi_bytes_received;
    if !account.covers(received, &seen) || !is_at_rest(socket, &info, &seen)? || !may() {
        return Ok(None);
    }
    gates.take(socket, cookie)?;
    Ok(Some((received, seen.eaten)))
}

/// Whether nothing is unread and the application spoke last.
fn is_at_rest(socket: &Socket, info: &libc::tcp_info, seen: &Watched) -> io::Result<bool> {
    let answered = if seen.payloads > 0 {
        seen.ack != seen.payload_ack || info.tcpi_unacked > 0
    } else {
        info.tcpi_bytes_received == 0
            || info.tcpi_unacked > 0
            || info.tcpi_last_data_sent <= info.tcpi_last_data_recv
    };
    let quiet = is_event_loop(socket)
        || info.tcpi_bytes_received == 0
        || info.tcpi_last_data_sent.min(info.tcpi_last_data_recv) >= QUIET_BLOCKING_MS;
    Ok(is_whole(info) && answered && quiet && ioctl_fionread(socket)? == 0)
}

/// A look at what is unread, which takes nothing but makes the kernel hand over what it holds back: after a redirect it
/// stops reading the queue (before Linux 6.5).
pub(super) fn look_into(socket: &Socket) {
    let mut byte = [0];
    // Whatever it finds, the notes tell.
    let _looked = recv(socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
}
