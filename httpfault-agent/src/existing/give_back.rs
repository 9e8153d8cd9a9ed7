//! Giving taken connections back, each between two requests: the application goes on as if nothing had been.
//!
//! First the responder lets go of its part; then, for the microseconds in which the socket leaves the map, the gate
//! refuses payload. What comes in between is a new request, for which the responder gets a new part.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use httpfault_common::abi::existing::ONLY_REQUESTS;
use tokio::time::timeout;

use super::{
    Care, Released, drain, reset,
    take::{self, Taken},
};

/// How many are asked for at once.
const BATCH: usize = 64;
/// How long what the responder wrote before may take to go out: its client may read nothing.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// How long requests are refused at most so that a connection can be given back, and how long of that answers have to
/// come out. The client's TCP sends again after 200 ms (RFC 6298 section 2.4, Linux).
const INSISTING: Duration = Duration::from_millis(500);
const COMES_TO_REST: Duration = Duration::from_millis(50);

/// How much is done for a connection to come to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// One with a request under way is left for the next time.
    Passing,
    /// Its next request is refused for a while, so that there is a moment between two.
    Insisting,
}

impl Care {
    /// Gives back every taken connection that is between two requests.
    pub(super) async fn give_back(&mut self, patience: Patience) {
        self.hear();
        if patience == Patience::Insisting {
            self.come_to_rest().await;
        }
        // The responder knows. While it can't be asked the gates let nothing more in, and what was sent last tells.
        let asks = self.shared.agent_lives();
        let cookies: Vec<u64> = if asks { self.taken.keys().copied().collect() } else { self.answered() };
        for batch in cookies.chunks(BATCH) {
            self.give_back_batch(batch, asks).await;
        }
        if patience == Patience::Insisting {
            let mut gates = self.shared.gates.borrow_mut();
            self.taken.keys().for_each(|cookie| gates.uncork(*cookie));
        }
    }

    /// Refuses what comes until the answers that are under way are out.
    async fn come_to_rest(&mut self) {
        let until = take::later(INSISTING) | ONLY_REQUESTS;
        for cookie in self.taken.keys() {
            // One that could not be corked may be busy the next time too.
            let _busy = self.shared.gates.borrow_mut().cork(*cookie, until);
        }
        let begun = Instant::now();
        while begun.elapsed() < COMES_TO_REST && self.taken.values().any(|taken| !taken.is_at_rest()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.hear();
        }
    }

    /// Those of which every request that was let in is here, and answered.
    fn answered(&self) -> Vec<u64> {
        let gates = self.shared.gates.borrow();
        let answered =
            |(cookie, taken): &(&u64, &Taken)| taken.has_come(**cookie, &gates) && taken.is_at_rest();
        self.taken.iter().filter(answered).map(|(cookie, _)| *cookie).collect()
    }

    /// Whether none is left for which waiting would help.
    pub(super) fn waits_in_vain(&self) -> bool {
        let gone = self.shared.agent_is_gone();
        self.taken.values().all(|taken| gone && taken.is_unanswered())
    }

    async fn give_back_batch(&mut self, batch: &[u64], asks: bool) {
        let asked: Vec<(u64, Taken)> =
            batch.iter().filter_map(|cookie| Some((*cookie, self.taken.remove(cookie)?))).collect();
        let (shared, target) = (std::rc::Rc::clone(&self.shared), self.target);
        // Nothing is heard meanwhile, so nothing is written to the responder between the question and its answer.
        let answers = asked.into_iter().map(|(cookie, mut taken)| {
            let shared = &shared;
            async move {
                let Some(carrier) = &mut taken.carrier else { return (cookie, taken, Released::AtRest) };
                let released = if asks {
                    shared.release(target, cookie).await
                } else {
                    // It ends its side behind its last answer.
                    carrier.finish();
                    Released::AtRest
                };
                if released == Released::AtRest {
                    // What it wrote before is on its way to the client.
                    let _late = timeout(ANSWER_WITHIN, carrier.ended()).await;
                    taken.carrier = None;
                }
                (cookie, taken, released)
            }
        });
        for (cookie, mut taken, released) in join_all(answers).await {
            match released {
                Released::AtRest => self.hand_over(cookie, taken),
                Released::Busy => drop(self.taken.insert(cookie, taken)),
                // It let go when it was asked before, and the answer came too late.
                Released::Ended if taken.let_go => {
                    (taken.carrier, taken.let_go) = (None, false);
                    self.hand_over(cookie, taken);
                }
                // Or its last answer ended the connection, which is told by the next time.
                Released::Ended => {
                    taken.let_go = true;
                    self.taken.insert(cookie, taken);
                }
            }
        }
    }

    /// Nothing of it is at the responder.
    fn hand_over(&mut self, cookie: u64, taken: Taken) {
        if !taken.untake(cookie, &mut self.shared.gates.borrow_mut()) {
            // A request came in between, or a part of one.
            self.taken.insert(cookie, taken);
            return;
        }
        let Some(connection) = self.connections.get_mut(&cookie) else { return };
        if !connection.was_given_back() {
            // Its application has closed it meanwhile, as it does with idle ones: it is ended now.
            let _closed = drain::end(&taken.socket);
            self.forget(cookie);
        }
    }

    /// The responder said that its last answer is the last of the connection, and that answer is out.
    pub(super) fn end_taken(&mut self, cookie: u64, taken: &Taken) {
        self.shared.gates.borrow_mut().untake(cookie);
        let _closed = drain::end(&taken.socket);
        self.forget(cookie);
    }

    /// What could not be given back in its time: its client learns that nothing more comes.
    pub(super) fn cut_taken(&mut self) {
        for (cookie, taken) in std::mem::take(&mut self.taken) {
            self.shared.gates.borrow_mut().untake(cookie);
            self.past.cut += 1;
            let _closed = reset::reset(&taken.socket);
            self.forget(cookie);
        }
    }
}
