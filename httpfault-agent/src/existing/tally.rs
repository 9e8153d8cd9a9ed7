//! What was seen of existing connections and done with them. Units: connections, `escaped`: requests.

use httpfault_common::contract::Counters;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) found: u64,
    pub(crate) drained: u64,
    pub(crate) reset: u64,
    /// Left alone, because they speak TLS, WebSocket, or nothing that is known.
    pub(crate) tls: u64,
    pub(crate) websocket: u64,
    pub(crate) not_http: u64,
    pub(crate) still_open: u64,
    /// Of those: to be drained, and of HTTP/2 that never paused.
    pub(crate) http2_busy: u64,
    /// Taken, that is answered in place, and of those: given back to the application, and reset because an answer did not
    /// end in its time.
    pub(crate) taken: u64,
    pub(crate) given_back: u64,
    pub(crate) cut: u64,
    /// Requests that the application got over them while the fault was on.
    pub(crate) escaped: u64,
    /// Those that could not be looked after.
    pub(crate) unwatched: u64,
    /// What went wrong first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}

impl Tally {
    /// For the report.
    pub(crate) fn fill(&self, counters: &mut Counters) {
        counters.existing_found = self.found;
        counters.existing_drained = self.drained;
        counters.existing_reset = self.reset + self.cut;
        counters.existing_taken = self.taken;
        counters.existing_given_back = self.given_back;
        counters.existing_tls = self.tls;
        counters.existing_websocket = self.websocket;
        counters.existing_not_http = self.not_http;
        counters.existing_still_open = self.still_open;
        counters.existing_escaped = self.escaped;
    }
}
