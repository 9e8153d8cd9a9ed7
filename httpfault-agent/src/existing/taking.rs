//! The taken connections of one target while the fault is on.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use httpfault_common::{
    abi::existing::{first, note, state},
    contract::ExistingConnections,
};
use socket2::Socket;
use tokio::{net::UnixStream, task::spawn_blocking};

use super::{
    Care, Told,
    account::{Account, await_landing},
    carrier::Carrier,
    connection::{Connection, local_of},
    take::{self, Taken},
};

/// How long the start of a fault waits at most until every connection that can be taken is.
const TAKE_WITHIN: Duration = Duration::from_millis(1_000);
/// The same for an event loop's: where processors are busy its process takes longer until all of its threads sleep.
const TAKE_WITHIN_EVENT_LOOP: Duration = Duration::from_millis(3_000);
/// When connections that never come to rest by themselves are made to: their next request is refused, and its sender's
/// TCP sends it again, after 200 ms or more (RFC 6298 section 2.4, Linux).
const HOLD_AFTER: Duration = Duration::from_millis(150);
const TRY_EVERY: Duration = Duration::from_millis(1);
/// Bytes of requests that may wait for the responder; beyond that the client's payload is refused for a while.
const MOST_QUEUED: usize = 1 << 20;

impl Care {
    /// Whether requests on existing connections are answered in place.
    pub(super) fn takes(&self) -> bool {
        // `auto` takes where docs/existing-connections.md shows nothing lost: so far nowhere.
        self.job.mode == ExistingConnections::Take && self.shared.take.is_ok()
    }

    /// Makes connections that may be taken accountable.
    pub(super) async fn open_accounts(&mut self, cookies: &[u64]) -> anyhow::Result<()> {
        // It takes some milliseconds, in which other targets go on.
        spawn_blocking(await_landing).await?.context("waiting for what is on its way")?;
        let borrowed = |cookie: &u64| Some((*cookie, self.connections.get(cookie)?.borrow()?));
        let sockets: Vec<(u64, Socket)> = cookies.iter().filter_map(borrowed).collect();
        let received = self.shared.gates.borrow().received()?;
        let open = || {
            let account = |(cookie, socket)| Some((cookie, Account::open(&socket, &received).ok()??));
            sockets.into_iter().filter_map(account).collect::<Vec<(u64, Account)>>()
        };
        let accounts = self.finder.netns().run(open).context("entering the target's network namespace")?;
        for (cookie, account) in accounts {
            if let Some(connection) = self.connections.get_mut(&cookie) {
                connection.account = Some(account);
            }
        }
        Ok(())
    }

    /// Takes what can be taken before the fault counts as on.
    pub(super) async fn take_all(&mut self) {
        let begun = Instant::now();
        loop {
            let mut left = self.take_some();
            if begun.elapsed() >= TAKE_WITHIN {
                let (patient, others): (Vec<u64>, Vec<u64>) =
                    left.into_iter().partition(|cookie| self.is_event_loop(*cookie));
                others.iter().for_each(|cookie| self.hold(*cookie, false));
                left = patient;
            }
            if left.is_empty() || begun.elapsed() >= TAKE_WITHIN_EVENT_LOOP {
                break;
            }
            if begun.elapsed() >= HOLD_AFTER {
                left.iter().for_each(|cookie| self.hold(*cookie, true));
            }
            tokio::time::sleep(TRY_EVERY).await;
            self.hear();
        }
        let left: Vec<u64> = self.connections.keys().copied().collect();
        left.iter().for_each(|cookie| self.hold(*cookie, false));
        // The fault counts as on from here.
        let gates = self.shared.gates.borrow();
        self.connections.values_mut().for_each(|connection| connection.count_from_now(&gates));
    }

    fn is_event_loop(&self, cookie: u64) -> bool {
        let socket = self.connections.get(&cookie).and_then(Connection::borrow);
        socket.is_some_and(|socket| take::is_event_loop(&socket))
    }

    /// One attempt at each connection; those that could not be taken now.
    fn take_some(&mut self) -> Vec<u64> {
        let cookies: Vec<u64> = self.connections.keys().copied().collect();
        cookies.into_iter().filter(|cookie| self.wants(*cookie) && !self.take(*cookie)).collect()
    }

    /// Whether a connection is to be taken.
    pub(super) fn wants(&self, cookie: u64) -> bool {
        self.takes()
            && !self.taken.contains_key(&cookie)
            && self.connections.get(&cookie).is_some_and(Connection::may_be_taken)
    }

    /// Takes a connection if it is at rest.
    pub(super) fn take(&mut self, cookie: u64) -> bool {
        let Some(connection) = self.connections.get_mut(&cookie) else { return false };
        let Some((socket, account)) = connection.borrow().zip(connection.account) else { return false };
        let mut gates = self.shared.gates.borrow_mut();
        match take::take(socket, connection.held(), cookie, account, &mut gates) {
            Ok(Some(taken)) => {
                connection.was_taken();
                self.taken.insert(cookie, taken);
                true
            }
            Ok(None) => false,
            Err(why) => {
                connection.not_again();
                self.past.problem.get_or_insert(format!("{why:#}"));
                false
            }
        }
    }

    fn hold(&self, cookie: u64, held: bool) {
        if self.taken.contains_key(&cookie) {
            return;
        }
        let mut gates = self.shared.gates.borrow_mut();
        let wanted = if held { state::HELD } else { state::WATCHED };
        let now = gates.state(cookie);
        if [state::HELD, state::WATCHED].contains(&now) && now != wanted {
            // One whose gate can't be written goes on as it was.
            let _as_before = gates.set_state(cookie, wanted);
        }
    }

    /// Takes note of everything that was told since.
    pub(super) fn hear(&mut self) {
        self.shared.pump();
        while let Ok(told) = self.told.try_recv() {
            self.heard(told);
        }
    }

    pub(super) fn heard(&mut self, told: Told) {
        match told {
            Told::Noted(note, bytes) => match note.what {
                note::DATA => self.data(note.cookie, bytes),
                note::END => self.client_ended(note.cookie),
                _ if self.taken.contains_key(&note.cookie) => self.is_foreign(note.cookie),
                _ => self.look_at(note.cookie),
            },
            Told::Closed(cookie) => {
                if let Some(taken) = self.taken.get_mut(&cookie) {
                    taken.closed = true;
                    self.end_if_over(cookie);
                }
            }
            Told::AnswersOut(cookie) => self.end_if_over(cookie),
        }
    }

    /// Bytes of a request.
    fn data(&mut self, cookie: u64, bytes: Vec<u8>) {
        let Some(taken) = self.taken.get_mut(&cookie) else { return };
        taken.got += bytes.len() as u64;
        // The responder lets go of one that is idle for long.
        if taken.carrier.as_ref().is_none_or(Carrier::is_out) {
            taken.carrier = local_of(&taken.socket).and_then(|origin| {
                let (ours, theirs) = UnixStream::pair().ok()?;
                self.shared.carry(self.target, cookie, origin, theirs.into_std().ok()?.into());
                Carrier::start(cookie, &taken.socket, ours, self.tell.clone()).ok()
            });
        }
        match &taken.carrier {
            Some(carrier) => carrier.carry(bytes),
            // Without a way to the responder the request can't be answered.
            None => {
                if let Some(taken) = self.taken.remove(&cookie) {
                    self.end_taken(cookie, &taken);
                }
            }
        }
    }

    /// The end of the answers alone says nothing: the agent may be gone.
    fn end_if_over(&mut self, cookie: u64) {
        let out = |taken: &Taken| taken.closed && taken.carrier.as_ref().is_some_and(Carrier::is_out);
        if self.taken.get(&cookie).is_some_and(out)
            && let Some(taken) = self.taken.remove(&cookie)
        {
            self.end_taken(cookie, &taken);
        }
    }

    /// The application has read the same end; what is being answered still is.
    fn client_ended(&mut self, cookie: u64) {
        match self.taken.get_mut(&cookie).map(|taken| &mut taken.carrier) {
            Some(Some(carrier)) => carrier.finish(),
            // One that was asked for nothing is the application's again.
            Some(None) => drop(self.untake(cookie)),
            None => {}
        }
    }

    /// Takes a connection out of the map, if nothing of it is on its way.
    pub(super) fn untake(&mut self, cookie: u64) -> Option<Taken> {
        let taken = self.taken.get(&cookie)?;
        let gone = taken.untake(cookie, &mut self.shared.gates.borrow_mut());
        if gone { self.taken.remove(&cookie) } else { None }
    }

    /// What came was no request: the application gets it when the client sends it again.
    fn is_foreign(&mut self, cookie: u64) {
        if self.untake(cookie).is_some()
            && let Some(connection) = self.connections.get_mut(&cookie)
        {
            connection.is_foreign();
        }
    }

    /// Looks at a taken connection; false when it is none.
    pub(super) fn look_at_taken(&mut self, cookie: u64) -> bool {
        let Some(Taken { socket, carrier, .. }) = self.taken.get(&cookie) else { return false };
        let gates = self.shared.gates.borrow();
        let seen = gates.seen(cookie).unwrap_or_default();
        let is_foreign = seen.first == first::FOREIGN && seen.round == gates.round(cookie);
        drop(gates);
        let carrier = carrier.as_ref();
        if carrier.is_some_and(Carrier::is_awaiting) {
            take::look_into(socket);
        }
        if carrier.is_some_and(|carrier| carrier.queued() > MOST_QUEUED) {
            // One that can't be corked is bounded by what the client's TCP sends.
            let _bounded = self.shared.gates.borrow_mut().cork(cookie, take::corked_until());
        }
        let broken = seen.lost > 0 || !super::connection::is_open(socket);
        if broken && let Some(taken) = self.taken.remove(&cookie) {
            self.end_taken(cookie, &taken);
        } else if is_foreign {
            self.is_foreign(cookie);
        }
        true
    }
}
