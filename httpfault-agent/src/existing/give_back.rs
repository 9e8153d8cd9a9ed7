//! Giving taken connections back, each between two requests: the application goes on as if nothing had been.

use std::time::Duration;

use futures_util::future::join_all;
use httpfault_common::abi::existing::{Watched, state};
use tokio::time::timeout;

use super::{
    Care, Released, drain, reset,
    take::{self, Taken},
};

/// How many are corked at once.
const BATCH: usize = 64;
/// How long the responder has to say whether a connection is between two requests. Less than what a cork lasts.
const ANSWER_WITHIN: Duration = Duration::from_millis(20);

impl Care {
    /// Gives back every taken connection that is between two requests.
    pub(super) async fn give_back(&mut self) {
        let cookies: Vec<u64> = self.taken.keys().copied().collect();
        for batch in cookies.chunks(BATCH) {
            self.give_back_batch(batch).await;
        }
    }

    async fn give_back_batch(&mut self, batch: &[u64]) {
        let corked_until = take::corked_until();
        for cookie in batch {
            // One that could not be corked is not given back now.
            let _later = self.shared.gates.borrow_mut().cork(*cookie, corked_until);
        }
        self.hear();
        let mut asked: Vec<(u64, Taken, Watched)> = Vec::new();
        for cookie in batch {
            let seen = self.shared.gates.borrow().seen(*cookie).unwrap_or_default();
            let flushed = |taken: &Taken| {
                taken.got == seen.captured
                    && taken.carrier.as_ref().is_none_or(|carrier| carrier.queued() == 0)
            };
            if self.taken.get(cookie).is_some_and(flushed)
                && let Some(taken) = self.taken.remove(cookie)
            {
                asked.push((*cookie, taken, seen));
            } else {
                self.shared.gates.borrow_mut().uncork(*cookie);
            }
        }
        let shared = std::rc::Rc::clone(&self.shared);
        let target = self.target;
        let answers = asked.into_iter().map(|(cookie, mut taken, seen)| {
            let shared = &shared;
            async move {
                let released = match &mut taken.carrier {
                    None => Released::AtRest,
                    Some(carrier) => {
                        carrier.ask(true);
                        let awaiting = carrier.is_awaiting();
                        let answer = timeout(ANSWER_WITHIN, shared.release(target, cookie, awaiting)).await;
                        let released = answer.unwrap_or(Released::Busy);
                        match released {
                            // What it wrote before is on its way to the client.
                            Released::AtRest | Released::Ended => {
                                let _late = timeout(ANSWER_WITHIN, carrier.ended()).await;
                            }
                            Released::Busy => carrier.ask(false),
                        }
                        released
                    }
                };
                (cookie, taken, seen, released)
            }
        });
        for (cookie, taken, seen, released) in join_all(answers).await {
            match released {
                Released::AtRest if take::holds(corked_until) => self.hand_over(cookie, taken, seen),
                Released::AtRest => {
                    // We were held up; the next request makes a new carrier.
                    self.taken.insert(cookie, Taken { carrier: None, ..taken });
                    self.shared.gates.borrow_mut().uncork(cookie);
                }
                Released::Busy => {
                    self.taken.insert(cookie, taken);
                    self.shared.gates.borrow_mut().uncork(cookie);
                }
                Released::Ended => self.end_taken(cookie, &taken),
            }
        }
    }

    /// Corked, and nothing of it is anywhere but in the kernel.
    fn hand_over(&mut self, cookie: u64, taken: Taken, seen: Watched) {
        let mut gates = self.shared.gates.borrow_mut();
        gates.untake(cookie);
        let now = gates.seen(cookie).unwrap_or(seen);
        if now.captured != seen.captured {
            // A segment that was accepted before the cork: it is a request that the application did not see.
            let again = gates.take(&taken.socket, cookie);
            gates.uncork(cookie);
            drop(gates);
            match again {
                Ok(()) => drop(self.taken.insert(cookie, Taken { carrier: None, ..taken })),
                Err(_closed) => self.end_taken(cookie, &taken),
            }
            return;
        }
        // One whose gate can't be written is let in by its lease.
        let _by_lease = gates.set(cookie, Watched { state: state::WATCHED, ..now });
        gates.uncork(cookie);
        drop(gates);
        let Some(connection) = self.connections.get_mut(&cookie) else { return };
        if !connection.was_given_back() {
            // Its application has closed it meanwhile, as it does with idle ones: it is ended now.
            let _closed = drain::end(&taken.socket);
            self.forget(cookie);
        }
    }

    /// The responder said that its last answer is the last of the connection.
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
