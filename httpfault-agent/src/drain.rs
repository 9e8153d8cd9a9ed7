//! When an existing connection may be closed: never in the middle of a request or a response, as far as that can be
//! told from outside the application. No I/O.

/// What TCP knows of a connection, from the application's side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Bytes received that the application has not read, or sent that the client has not acknowledged.
    pub(crate) in_flight: bool,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    /// Milliseconds since the last byte came in.
    pub(crate) since_received_ms: u32,
    /// Milliseconds since the last byte went out.
    pub(crate) since_sent_ms: u32,
}

/// Quiet time after which a connection counts as idle, depending on what it was seen to do.
///
/// A client that asks and is answered, again and again, is between two requests after a short silence. A connection
/// that was not seen to do that may be waiting for a slow application, and one that sends without being asked is in
/// the middle of a response that takes its time.
const QUIET_PROVED_MS: u32 = 20;
const QUIET_UNKNOWN_MS: u32 = 1_000;
const QUIET_STREAMING_MS: u32 = 5_000;
/// Requests after which a connection has proved how it is used.
const PROOF: u32 = 3;

/// What was seen of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct History {
    last: Option<Sample>,
    requests: u32,
    streaming: bool,
}

impl History {
    /// Takes note of a sample and tells whether the connection may be closed now.
    pub(crate) fn may_close(&mut self, now: Sample) -> bool {
        if let Some(last) = self.last {
            let asked = now.bytes_received > last.bytes_received;
            let sent = now.bytes_sent > last.bytes_sent;
            if asked {
                self.requests += 1;
                self.streaming = false;
            } else if sent && last.bytes_sent > 0 {
                self.streaming = true;
            }
        }
        self.last = Some(now);

        let patience = match (self.streaming, self.requests) {
            (true, _) => QUIET_STREAMING_MS,
            (false, requests) if requests >= PROOF => QUIET_PROVED_MS,
            (false, _) => QUIET_UNKNOWN_MS,
        };
        let answered = now.since_sent_ms <= now.since_received_ms;
        let quiet = now.since_sent_ms.min(now.since_received_ms);
        !now.in_flight && answered && quiet >= patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(received: u64, sent: u64, since_received_ms: u32, since_sent_ms: u32) -> Sample {
        Sample {
            in_flight: false,
            bytes_received: received,
            bytes_sent: sent,
            since_received_ms,
            since_sent_ms,
        }
    }

    #[test]
    fn an_idle_pooled_connection_may_be_closed() {
        assert!(History::default().may_close(sample(100, 200, 5_000, 4_990)));
    }

    #[test]
    fn a_request_that_waits_for_its_answer_is_never_cut() {
        let mut history = History::default();
        assert!(!history.may_close(sample(100, 200, 60_000, 90_000)));
    }

    #[test]
    fn data_in_flight_is_never_cut() {
        let busy = Sample { in_flight: true, ..sample(100, 200, 9_000, 9_000) };
        assert!(!History::default().may_close(busy));
    }

    #[test]
    fn a_busy_pooled_connection_is_closed_in_the_gap_between_two_requests() {
        let mut history = History::default();
        for request in 1..=4 {
            assert!(!history.may_close(sample(request * 100, request * 200, 3, 2)));
        }
        assert!(history.may_close(sample(400, 800, 26, 25)));
    }

    #[test]
    fn a_response_that_pauses_is_not_cut() {
        let mut history = History::default();
        for chunk in 1..=5 {
            assert!(!history.may_close(sample(100, chunk * 1000, 9_000, 2_000)));
        }
    }

    #[test]
    fn a_slow_first_answer_is_given_a_second() {
        let mut history = History::default();
        assert!(!history.may_close(sample(100, 0, 300, 300)));
        assert!(!history.may_close(sample(100, 0, 900, 900)));
    }
}
