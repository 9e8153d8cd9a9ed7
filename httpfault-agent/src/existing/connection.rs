//! One existing connection, looked at through a descriptor that is borrowed for the moment: while it is open, the
//! application's own close() does not close the connection.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use httpfault_common::{
    abi::existing::{Watched, kind, state},
    contract::ExistingConnections,
};
use rustix::io::ioctl_fionread;
use socket2::Socket;

use super::{
    Job, Tally,
    account::Account,
    drain,
    judge::{History, Sample, Verdict},
    reset::reset,
    take,
};
use crate::{
    clock::boot_ns,
    datapath::existing::Gates,
    sockets::{Held, canonical},
    sys,
};

/// How long the client's next request is refused at most, while the application closes.
const REFUSING: Duration = Duration::from_secs(5);
/// How long one that was in the middle of a request is not taken again.
const TAKE_AGAIN: Duration = Duration::from_millis(500);
/// `TCP_ESTABLISHED` and `TCP_CLOSE_WAIT` in include/net/tcp_states.h.
const ESTABLISHED: u8 = 1;
const CLOSE_WAIT: u8 = 8;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) cookie: u64,
    held: Held,
    history: History,
    stage: Stage,
    /// Known where it may be taken.
    pub(super) account: Option<Account>,
    taken: bool,
    given_back: bool,
    /// Not before then, where it was tried in vain.
    take_again: Option<Instant>,
    /// What the gate had seen when the fault came on, and what it saw last.
    before: Watched,
    seen: Watched,
    /// Requests that the application got meanwhile, once the fault is over.
    escaped: Option<u64>,
}

/// What was done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Watched,
    /// Its requests are answered in place.
    Taken,
    /// Its application's input was ended, when that had been seen.
    Ending {
        at: Instant,
        from: Sample,
    },
    /// Its client was told to open its next streams elsewhere.
    GoneAway,
    /// Ended in order.
    Ended,
    Reset,
}

/// What became of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The descriptor is closed, or is another connection's.
    Gone,
    There,
}

impl Connection {
    /// Puts the gate on one that was found; `None` where it was closed meanwhile.
    pub(super) fn watch(
        cookie: u64,
        held: Held,
        state: u32,
        gates: &mut Gates,
    ) -> anyhow::Result<Option<Self>> {
        let Some(socket) = borrow(held, cookie) else { return Ok(None) };
        anyhow::ensure!(!sys::has_filter(&socket)?, "the application has a socket filter of its own");
        gates.watch(&socket, cookie, state)?;
        Ok(Some(Self {
            cookie,
            held,
            history: History::default(),
            stage: Stage::Watched,
            account: None,
            taken: false,
            given_back: false,
            take_again: None,
            before: Watched::default(),
            seen: Watched::default(),
            escaped: None,
        }))
    }

    /// The application duplicated or moved its descriptor.
    pub(super) fn moved(&mut self, held: Held) {
        self.held = held;
    }

    /// The fault is on.
    pub(super) fn begin(&mut self, state: u32, gates: &mut Gates) -> anyhow::Result<()> {
        self.count_from_now(gates);
        if state == state::WATCHED { Ok(()) } else { gates.set_state(self.cookie, state) }
    }

    /// What the application gets from here on escapes the fault.
    pub(super) fn count_from_now(&mut self, gates: &Gates) {
        self.before = gates.seen(self.cookie).unwrap_or_default();
        self.seen = self.before;
    }

    /// What the application gets from here on is its own again.
    pub(super) fn count_until_now(&mut self, gates: &Gates) {
        self.last_look(gates);
        self.escaped = Some(self.escaped());
    }

    fn escaped(&self) -> u64 {
        self.escaped.unwrap_or_else(|| self.seen.requests.saturating_sub(self.before.requests))
    }

    /// Looks at it and does what may be done now. Without a job the fault is not on yet.
    pub(super) fn look(&mut self, job: Option<&Job>, gates: &mut Gates) -> Look {
        let Some(socket) = self.borrow() else {
            self.last_look(gates);
            return Look::Gone;
        };
        self.seen = gates.seen(self.cookie).unwrap_or(self.seen);
        let done = match job.map(|job| (job.mode, job.at_once)) {
            None | Some((ExistingConnections::Keep, _)) => Ok(()),
            Some((ExistingConnections::Auto | ExistingConnections::Take | ExistingConnections::Drain, _)) => {
                self.drain(&socket, gates)
            }
            Some((ExistingConnections::Reset, at_once)) => self.reset(&socket, at_once),
        };
        match done {
            Ok(()) => Look::There,
            // Not connected any more.
            Err(_gone) => Look::Gone,
        }
    }

    fn drain(&mut self, socket: &Socket, gates: &mut Gates) -> io::Result<()> {
        let sample = self.sample(socket)?;
        match self.stage {
            Stage::Watched => match self.history.judge(sample) {
                Verdict::Wait => Ok(()),
                Verdict::End => self.end_input(socket, sample, gates),
                Verdict::GoAway => {
                    self.stage = Stage::GoneAway;
                    drain::go_away(socket)
                }
            },
            Stage::Ending { at, from } => {
                if sample.seen.payloads != from.seen.payloads {
                    // A request slipped in: all of it is let in.
                    gates.uncork(self.cookie);
                }
                match self.history.close_within(from, sample) {
                    Some(time) if at.elapsed() >= time => self.end(socket),
                    _ => Ok(()),
                }
            }
            Stage::Taken | Stage::GoneAway | Stage::Ended | Stage::Reset => Ok(()),
        }
    }

    /// The application reads an end of input between two requests. From here on the client's next request is refused: an
    /// application that has read the end may close without reading more, and of one that comes in pieces it would read
    /// the first ones only. So its client sees an orderly end before any byte of an answer.
    fn end_input(&mut self, socket: &Socket, sample: Sample, gates: &mut Gates) -> io::Result<()> {
        if gates.cork(self.cookie, take::later(REFUSING)).is_err() {
            return Ok(());
        }
        if gates.seen_whole(self.cookie).is_none_or(|seen| seen.payloads != sample.seen.payloads) {
            // A request came since, which is answered first.
            gates.uncork(self.cookie);
            return Ok(());
        }
        self.stage = Stage::Ending { at: Instant::now(), from: sample };
        drain::end_input(socket)
    }

    /// The client is told in order.
    fn end(&mut self, socket: &Socket) -> io::Result<()> {
        self.stage = Stage::Ended;
        drain::end(socket)
    }

    /// At its next request, which the gate has refused, so that the application never saw it; or at once.
    fn reset(&mut self, socket: &Socket, at_once: bool) -> io::Result<()> {
        if self.stage == Stage::Reset || (self.seen.refused == 0 && !at_once) {
            return Ok(());
        }
        self.stage = Stage::Reset;
        reset(socket)
    }

    /// The fault is over: the gate goes, the connection stays as it is.
    pub(super) fn let_go(&mut self, gates: &mut Gates) -> anyhow::Result<Look> {
        let socket = self.borrow();
        self.last_look(gates);
        let Some(socket) = socket else { return Ok(Look::Gone) };
        if matches!(self.stage, Stage::Ending { from, .. } if from.seen.payloads == self.seen.payloads) {
            // Not connected any more is as good.
            let _gone = self.end(&socket);
        }
        gates.unwatch(&socket, self.cookie)?;
        let look = if self.stage == Stage::Reset || !sys::tcp_info(&socket).is_ok_and(|info| is_whole(&info))
        {
            Look::Gone
        } else {
            Look::There
        };
        Ok(look)
    }

    /// Whether its client can still use it.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.stage, Stage::Ended | Stage::Reset)
    }

    /// Whether it speaks HTTP/2 and there was no quiet moment to tell its client.
    pub(super) fn is_busy_http2(&self) -> bool {
        self.stage == Stage::Watched && self.seen.kind == kind::HTTP2
    }

    /// Adds what was done with it.
    pub(super) fn count(&self, tally: &mut Tally) {
        match self.stage {
            Stage::Ending { .. } | Stage::Ended | Stage::GoneAway => tally.drained += 1,
            Stage::Reset => tally.reset += 1,
            Stage::Taken => {}
            Stage::Watched => match self.seen.kind {
                kind::TLS => tally.tls += 1,
                kind::WEBSOCKET => tally.websocket += 1,
                kind::OTHER => tally.not_http += 1,
                _ => {}
            },
        }
        tally.taken += u64::from(self.taken);
        tally.given_back += u64::from(self.given_back);
        tally.escaped += self.escaped();
    }

    fn last_look(&mut self, gates: &Gates) {
        self.seen = gates.seen(self.cookie).unwrap_or(self.seen);
    }

    pub(super) fn borrow(&self) -> Option<Socket> {
        borrow(self.held, self.cookie)
    }

    pub(super) fn held(&self) -> Held {
        self.held
    }

    /// Whether its requests may be answered in place: HTTP/1, or nothing that is known yet.
    pub(super) fn may_be_taken(&self) -> bool {
        self.stage == Stage::Watched
            && [kind::UNKNOWN, kind::HTTP1, kind::OTHER].contains(&self.seen.kind)
            && self.take_again.is_none_or(|at| at <= Instant::now())
    }

    pub(super) fn was_taken(&mut self) {
        self.stage = Stage::Taken;
        self.taken = true;
    }

    /// It could not be taken for a reason that stays.
    pub(super) fn not_again(&mut self) {
        self.take_again = Instant::now().checked_add(Duration::from_secs(3_600));
    }

    /// It was taken, and what came first was no request.
    pub(super) fn is_foreign(&mut self) {
        self.stage = Stage::Watched;
        self.given_back = true;
        self.history = History::default();
        self.take_again = Instant::now().checked_add(TAKE_AGAIN);
    }

    /// Between two requests; false where its application has closed it meanwhile.
    pub(super) fn was_given_back(&mut self) -> bool {
        let there = self.borrow().is_some();
        self.stage = if there { Stage::Watched } else { Stage::Ended };
        self.given_back = there;
        self.history = History::default();
        there
    }

    fn sample(&self, socket: &Socket) -> io::Result<Sample> {
        let info = sys::tcp_info(socket)?;
        let unread = ioctl_fionread(socket)?;
        let since_payload_ns = boot_ns().saturating_sub(self.seen.payload_ns);
        Ok(Sample {
            pending: unread > 0 || info.tcpi_notsent_bytes > 0,
            unacknowledged: info.tcpi_unacked,
            bytes_sent: info.tcpi_bytes_sent,
            since_sent_ms: info.tcpi_last_data_sent,
            since_payload_ms: since_payload_ns / 1_000_000,
            seen: self.seen,
        })
    }
}

/// The application's end. It may have closed it and reused the descriptor's number for something else, which is not
/// touched.
fn borrow(held: Held, cookie: u64) -> Option<Socket> {
    let socket = held.borrow().ok()?;
    (socket.cookie().ok()? == cookie).then_some(socket)
}

/// The address that the client connected to.
pub(super) fn local_of(socket: &Socket) -> Option<SocketAddr> {
    socket.local_addr().ok()?.as_socket().map(canonical)
}

/// Whether answers can be sent on it.
pub(super) fn is_open(socket: &Socket) -> bool {
    sys::tcp_info(socket).is_ok_and(|info| [ESTABLISHED, CLOSE_WAIT].contains(&info.tcpi_state))
}

/// Whether both sides may still send.
pub(super) fn is_whole(info: &libc::tcp_info) -> bool {
    info.tcpi_state == ESTABLISHED
}
