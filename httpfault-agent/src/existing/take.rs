//! Taking a connection: from here on its requests go to the responder, and its application sees nothing of them.
//!
//! What the socket map must never see is data that is on its way: unread by the application, or accepted while it is
//! inserted (a reader's position in the stream goes back, and it never reads again). So payload is refused, by
//! the gate, for the microseconds around it, and the connection must be at rest.

use std::{io, time::Duration};

use anyhow::Context as _;
use httpfault_common::abi::existing::{ONLY_REQUESTS, Watched, state};
use rustix::{
    fs::{OFlags, fcntl_getfl},
    io::ioctl_fionread,
    net::{RecvFlags, recv},
};
use socket2::Socket;

use super::{carrier::Carrier, reader};
use crate::{clock::boot_ns, datapath::existing::Gates, sockets::Held, sys};

/// How long payload is refused at most while a connection is taken or given back, and what of that must be left when it
/// is done: this process may have been held up.
pub(super) const CORK: Duration = Duration::from_millis(50);
const CORK_LEFT: Duration = Duration::from_millis(20);
/// How long a segment takes from the gate to the receive queue, on a processor of its own.
const LANDING: Duration = Duration::from_micros(50);
/// How long a connection of a blocking reader must have been quiet, so that no thread is on its way into a read.
const QUIET_BLOCKING_MS: u32 = 10;

/// A taken connection. The descriptor is kept: an application that closes its own, an idle one after its own timeout,
/// does not take the connection from its client while it is the fault's.
pub(super) struct Taken {
    pub(super) socket: Socket,
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
}

/// When a cork ends that begins now.
pub(super) fn corked_until() -> u64 {
    (boot_ns() + u64::try_from(CORK.as_nanos()).unwrap_or(0)) & !ONLY_REQUESTS
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
    let taken = try_take(&socket, cookie, until, gates, &may);
    gates.uncork(cookie);
    Ok(taken?.then_some(Taken { socket, got: 0, carrier: None, closed: false, let_go: false }))
}

fn try_take(
    socket: &Socket,
    cookie: u64,
    corked_until: u64,
    gates: &mut Gates,
    may: &dyn Fn() -> bool,
) -> anyhow::Result<bool> {
    let seen = gates.seen(cookie).context("an existing connection is not watched")?;
    // A segment that the gate let in before the cork may be on its way to the receive queue.
    let landed = boot_ns() + u64::try_from(LANDING.as_nanos())?;
    while boot_ns() < landed {
        std::hint::spin_loop();
    }
    let before = sys::tcp_info(socket)?;
    if !is_at_rest(socket, &before, &seen)? || !may() || !holds(corked_until) {
        return Ok(false);
    }
    gates.set(cookie, Watched { state: state::ARMED, captured: 0, lost: 0, ..seen })?;
    if let Err(why) = gates.take(socket, cookie) {
        gates.set(cookie, Watched { state: state::WATCHED, ..seen })?;
        return Err(why);
    }
    // Runs the verdict over what was accepted before the cork and came in between.
    look_into(socket);
    let now = gates.seen(cookie).unwrap_or_default();
    let came = sys::tcp_info(socket)?.tcpi_bytes_received.saturating_sub(before.tcpi_bytes_received);
    if now.captured == 0 && came > 0 {
        // It came in between, and the application has it.
        gates.untake(cookie);
        gates.set(cookie, Watched { state: state::WATCHED, ..now })?;
        return Ok(false);
    }
    Ok(true)
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
    Ok(answered && quiet && ioctl_fionread(socket)? == 0)
}

/// A look at what is unread, which takes nothing but makes the kernel hand over what it holds back: after a redirect it
/// stops reading the queue (before Linux 6.5).
pub(super) fn look_into(socket: &Socket) {
    let mut byte = [0];
    // Whatever it finds, the notes tell.
    let _looked = recv(socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
}
