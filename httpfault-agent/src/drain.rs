//! When an existing connection may be closed: never in the middle of a request or a response, as far as that can be
//! told from outside the application. No I/O.

/// What TCP knows of a connection, from the application's side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Bytes that came in and the application has not read, or that it wrote and that have not gone out.
    pub(crate) pending: bool,
    /// Segments that went out and the client has not acknowledged.
    pub(crate) unacknowledged: u32,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    /// Milliseconds since the last byte came in.
    pub(crate) since_received_ms: u32,
    /// Milliseconds since the last byte went out.
    pub(crate) since_sent_ms: u32,
}

/// Quiet time after which a connection counts as idle, depending on what it was seen to do.
///
/// The clock of TCP_INFO is the kernel's tick (1 to 10 ms): an answer that went out in the same tick as the last
/// request came in could be the answer to the request before. Such a tie is decided by a silence that is long beside
/// what the application was seen to take; an answer in a later tick needs none.
const QUIET_TIE_MS: u32 = 20;
const QUIET_UNKNOWN_MS: u32 = 1_000;
const QUIET_STREAMING_MS: u32 = 5_000;
/// How many times the longest wait for an answer that was seen a tie must stay quiet.
const TIMES_SLOWEST: u32 = 4;
/// Requests after which a connection has proved how it is used.
const PROOF: u32 = 3;
/// The end of a short answer may be unacknowledged for as long as the client delays its acknowledgement, that is until
/// its next request (RFC 9293 section 3.8.6.3). More than that is a long answer on its way.
const SHORT_ANSWER: u32 = 2;

/// What was seen of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct History {
    last: Option<Sample>,
    requests: u32,
    /// Something was sent since the last request.
    sending: bool,
    /// More was sent later, without another request: a response that takes its time.
    streaming: bool,
    /// The longest a request was seen to wait for its answer.
    slowest_ms: u32,
}

impl History {
    /// Takes note of a sample and tells whether the connection may be closed now.
    pub(crate) fn may_close(&mut self, now: Sample) -> bool {
        self.note(now);
        let unanswered = now.since_received_ms < now.since_sent_ms;
        let quiet = now.since_sent_ms.min(now.since_received_ms);
        !self.in_flight(now) && !unanswered && quiet >= self.patience(now)
    }

    fn note(&mut self, now: Sample) {
        if now.since_received_ms < now.since_sent_ms {
            self.slowest_ms = self.slowest_ms.max(now.since_received_ms);
        }
        let Some(last) = self.last.replace(now) else { return };
        let asked = now.bytes_received > last.bytes_received;
        let sent = now.bytes_sent > last.bytes_sent;
        if asked {
            self.requests += 1;
            self.sending = false;
            self.streaming = false;
        } else if sent {
            self.streaming |= self.sending;
            self.sending = true;
        }
    }

    fn in_flight(&self, now: Sample) -> bool {
        let allowed = if self.requests >= PROOF { SHORT_ANSWER } else { 0 };
        now.pending || now.unacknowledged > allowed
    }

    fn patience(&self, now: Sample) -> u32 {
        if self.streaming {
            QUIET_STREAMING_MS
        } else if self.requests < PROOF {
            QUIET_UNKNOWN_MS
        } else if now.since_sent_ms < now.since_received_ms {
            0
        } else {
            QUIET_TIE_MS.max(self.slowest_ms.saturating_mul(TIMES_SLOWEST))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(received: u64, sent: u64, since_received_ms: u32, since_sent_ms: u32) -> Sample {
        Sample {
            pending: false,
            unacknowledged: 0,
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
        let unread = Sample { pending: true, ..sample(100, 200, 9_000, 9_000) };
        assert!(!History::default().may_close(unread));
        let download = Sample { unacknowledged: 2, ..sample(100, 200, 9_000, 9_000) };
        assert!(!History::default().may_close(download));
    }

    #[test]
    fn a_busy_pooled_connection_is_closed_in_the_gap_between_two_requests() {
        let mut history = History::default();
        for request in 1..=4 {
            assert!(!history.may_close(sample(request * 100, request * 200, 4, 4)), "could be unanswered");
        }
        let answered = Sample { unacknowledged: 1, ..sample(500, 1000, 4, 0) };
        assert!(
            history.may_close(answered),
            "answered in a later tick; the acknowledgement comes with the next request"
        );
    }

    #[test]
    fn a_tie_is_decided_by_a_silence_that_is_long_for_this_application() {
        let mut history = History::default();
        for request in 1..=4 {
            assert!(!history.may_close(sample(request * 100, request * 200, 30, 60)), "unanswered for 30 ms");
        }
        assert!(!history.may_close(sample(400, 800, 100, 100)));
        assert!(history.may_close(sample(400, 800, 120, 120)));
    }

    #[test]
    fn a_response_that_pauses_is_not_cut() {
        let mut history = History::default();
        for chunk in 1..=3 {
            assert!(!history.may_close(sample(100, chunk * 1000, 9_000, 800)));
        }
        assert!(
            !history.may_close(sample(100, 3000, 12_000, 4_000)),
            "it was seen to send without being asked"
        );
    }

    #[test]
    fn a_slow_first_answer_is_given_a_second() {
        let mut history = History::default();
        assert!(!history.may_close(sample(100, 0, 300, 300)));
        assert!(!history.may_close(sample(100, 0, 900, 900)));
    }
}
