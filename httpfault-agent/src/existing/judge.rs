//! When an existing connection may be ended: never in the middle of a request or a response, as far as that can be
//! told from outside the application. No I/O.
//!
//! What a connection speaks is known from what its client was seen to send, so nothing is done to one that says nothing.
//! That a request was answered is known from acknowledgement numbers: a request carries how much its sender had got
//! before. That an answer is complete cannot be known; a silence tells, which is long where nothing is known of how the
//! application answers on this connection.

use std::time::Duration;

use httpfault_common::abi::existing::{Watched, kind};

/// What TCP and the gate know of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// Bytes came in that the application has not read, or went out that the kernel still holds.
    pub(super) pending: bool,
    /// Segments that went out and the client has not acknowledged.
    pub(super) unacknowledged: u32,
    pub(super) bytes_sent: u64,
    /// Milliseconds since the last byte went out, in ticks of the kernel (1 to 10 ms).
    pub(super) since_sent_ms: u32,
    /// Milliseconds since payload last came in, exact.
    pub(super) since_payload_ms: u64,
    pub(super) seen: Watched,
}

/// What may be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing yet: not known what it is, or busy.
    Wait,
    /// HTTP/1 between two requests.
    End,
    /// HTTP/2 at a quiet moment.
    GoAway,
}

/// Silences after which an answer counts as complete.
const PROVED_MS: u32 = 20;
const UNKNOWN_MS: u32 = 1_000;
const STREAMING_MS: u32 = 5_000;
/// How many times the longest pause that was seen within an answer an answer must stay quiet.
const TIMES_LONGEST_PAUSE: u32 = 4;
/// With each request, one part in so many of that pause is forgotten.
const FORGETS: u32 = 8;
/// A silence in both directions after which no frame of HTTP/2 is on its way.
const QUIET_HTTP2_MS: u32 = 50;
/// Requests after which a connection has proved that its answers come in one piece.
const PROOF: u64 = 3;
/// The end of a short answer may be unacknowledged for as long as the client delays its acknowledgement, that is until
/// its next request (RFC 9293 section 3.8.6.3). More than that is a long answer on its way.
const SHORT_ANSWER: u32 = 2;

/// How long the application may take to close after its input ended, before its client is told directly.
const CLOSE_WITHIN: Duration = Duration::from_millis(50);
/// The same where a request slipped in meanwhile and no answer to it has begun.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What was seen of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct History {
    last: Option<Sample>,
    /// Something was sent since the last payload.
    answering: bool,
    /// More was sent later, without another request: a response that takes its time.
    streaming: bool,
    /// The longest time between two pieces of one answer, of late: a single one is forgotten by and by.
    longest_pause_ms: u32,
}

impl History {
    /// Takes note of a sample and tells what may be done now.
    pub(super) fn judge(&mut self, now: Sample) -> Verdict {
        self.note(now);
        match now.seen.kind {
            kind::HTTP1 if self.is_answered(now) && now.since_sent_ms >= self.patience(now) => Verdict::End,
            kind::HTTP2 if is_quiet(now) => Verdict::GoAway,
            _ => Verdict::Wait,
        }
    }

    /// How long the application has to close since its input ended, which was after `from`. `None`: a request slipped in,
    /// and its answer has begun; that is not cut, however long it pauses.
    pub(super) fn close_within(&mut self, from: Sample, now: Sample) -> Option<Duration> {
        let slipped_in = now.pending || now.seen.payloads != from.seen.payloads;
        if !slipped_in || self.judge(now) == Verdict::End {
            return Some(CLOSE_WITHIN);
        }
        (now.bytes_sent == from.bytes_sent).then_some(ANSWER_WITHIN)
    }

    fn note(&mut self, now: Sample) {
        let Some(last) = self.last.replace(now) else { return };
        if now.seen.payloads != last.seen.payloads {
            self.answering = false;
            self.streaming = false;
            self.longest_pause_ms -= self.longest_pause_ms / FORGETS;
        } else if now.bytes_sent > last.bytes_sent {
            if self.answering {
                self.streaming = true;
                self.longest_pause_ms = self.longest_pause_ms.max(pause(last, now));
            }
            self.answering = true;
        }
    }

    /// Whether an answer to the last request went out, and nothing is on its way.
    fn is_answered(&self, now: Sample) -> bool {
        let began = now.unacknowledged > 0 || now.seen.ack != now.seen.payload_ack;
        let allowed = if now.seen.requests >= PROOF { SHORT_ANSWER } else { 0 };
        began && !now.pending && now.unacknowledged <= allowed
    }

    fn patience(&self, now: Sample) -> u32 {
        if self.streaming {
            STREAMING_MS
        } else if now.seen.requests < PROOF {
            UNKNOWN_MS
        } else {
            PROVED_MS.max(self.longest_pause_ms.saturating_mul(TIMES_LONGEST_PAUSE))
        }
    }
}

/// Between the bytes that had gone out last at one look and those at a later one, with no payload in between.
fn pause(last: Sample, now: Sample) -> u32 {
    let between = now.since_payload_ms.saturating_sub(last.since_payload_ms);
    let until_now = u32::try_from(between).unwrap_or(u32::MAX).saturating_add(last.since_sent_ms);
    until_now.saturating_sub(now.since_sent_ms)
}

fn is_quiet(now: Sample) -> bool {
    let quiet = u64::from(now.since_sent_ms).min(now.since_payload_ms);
    !now.pending && now.unacknowledged == 0 && quiet >= u64::from(QUIET_HTTP2_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection over which `requests` went; `acked` of the last answer's bytes have come back.
    fn sample(requests: u64, acked: u32, bytes_sent: u64, since_sent_ms: u32) -> Sample {
        let seen = Watched {
            payloads: requests,
            requests,
            kind: kind::HTTP1,
            payload_ack: 1000,
            ack: 1000 + acked,
            ..Watched::default()
        };
        Sample { bytes_sent, since_sent_ms, since_payload_ms: 60_000, seen, ..Sample::default() }
    }

    fn speaking(kind: u32, sample: Sample) -> Sample {
        Sample { seen: Watched { kind, ..sample.seen }, ..sample }
    }

    #[test]
    fn a_connection_that_says_nothing_is_left_alone() {
        let silent = Sample { bytes_sent: 200, since_sent_ms: 60_000, ..Sample::default() };
        assert_eq!(History::default().judge(silent), Verdict::Wait);
    }

    #[test]
    fn tls_websocket_and_what_is_not_http_are_left_alone() {
        for kind in [kind::TLS, kind::WEBSOCKET, kind::OTHER] {
            assert_eq!(History::default().judge(speaking(kind, sample(9, 99, 200, 60_000))), Verdict::Wait);
        }
    }

    #[test]
    fn a_request_that_waits_for_its_answer_is_never_cut() {
        for requests in [1, 9] {
            assert_eq!(History::default().judge(sample(requests, 0, 200, 60_000)), Verdict::Wait);
        }
    }

    #[test]
    fn data_in_flight_is_never_cut() {
        let unread = Sample { pending: true, ..sample(9, 99, 200, 9_000) };
        assert_eq!(History::default().judge(unread), Verdict::Wait);
        let download = Sample { unacknowledged: 3, ..sample(9, 99, 200, 9_000) };
        assert_eq!(History::default().judge(download), Verdict::Wait);
    }

    #[test]
    fn a_busy_pooled_connection_is_ended_in_the_gap_between_two_requests() {
        let answered = Sample { unacknowledged: 1, ..sample(3, 0, 200, 20) };
        assert_eq!(
            History::default().judge(answered),
            Verdict::End,
            "the acknowledgement comes with the next request"
        );
        assert_eq!(History::default().judge(Sample { since_sent_ms: 10, ..answered }), Verdict::Wait);
    }

    #[test]
    fn a_first_answer_is_given_a_second() {
        assert_eq!(History::default().judge(sample(1, 99, 200, 900)), Verdict::Wait);
        assert_eq!(History::default().judge(sample(1, 99, 200, 1_000)), Verdict::End);
    }

    #[test]
    fn a_slow_answer_spoils_nothing() {
        let mut history = History::default();
        assert_eq!(history.judge(sample(3, 0, 200, 5_000)), Verdict::Wait);
        assert_eq!(history.judge(sample(4, 99, 500, 20)), Verdict::End);
    }

    #[test]
    fn a_response_that_pauses_is_not_cut() {
        let mut history = History::default();
        for chunk in 1..=3 {
            assert_eq!(history.judge(sample(9, 99, chunk * 1000, 10)), Verdict::Wait);
        }
        assert_eq!(history.judge(sample(9, 99, 3000, 4_000)), Verdict::Wait, "it sent without being asked");
    }

    #[test]
    fn the_pauses_of_one_answer_tell_how_long_the_next_may_pause() {
        let mut history = History::default();
        let at = |requests, since_payload_ms, bytes_sent, since_sent_ms| Sample {
            since_payload_ms,
            ..sample(requests, 99, bytes_sent, since_sent_ms)
        };
        for piece in 0..3 {
            assert_eq!(history.judge(at(8, 10 + piece * 30, (piece + 1) * 100, 5)), Verdict::Wait);
        }
        assert_eq!(
            history.judge(at(9, 35, 400, 30)),
            Verdict::Wait,
            "the next answer, after its first piece"
        );
        assert_eq!(history.judge(at(9, 135, 400, 120)), Verdict::End);
        for request in 10..20 {
            history.judge(at(request, 10, request * 100, 5));
        }
        assert_eq!(history.judge(at(20, 45, 2000, 40)), Verdict::End, "answers come in one piece again");
    }

    #[test]
    fn an_application_that_does_not_close_soon_has_its_client_told() {
        let ended = sample(3, 99, 200, 20);
        let close_within = History::default().close_within(ended, Sample { since_sent_ms: 70, ..ended });
        assert_eq!(close_within, Some(CLOSE_WITHIN));
    }

    #[test]
    fn a_request_that_slipped_in_while_a_connection_ends_is_answered() {
        let ended = sample(3, 99, 200, 20);
        let within = |now| History::default().close_within(ended, now);
        assert_eq!(within(Sample { pending: true, ..ended }), Some(ANSWER_WITHIN), "it is unread");
        assert_eq!(within(sample(4, 0, 200, 60)), Some(ANSWER_WITHIN), "its answer has not begun");
        assert_eq!(within(Sample { unacknowledged: 1, ..sample(4, 0, 300, 5) }), None, "it has");
        assert_eq!(within(sample(4, 99, 300, 19)), None, "it may pause");
        assert_eq!(within(sample(4, 99, 300, 20)), Some(CLOSE_WITHIN), "it is complete");
    }

    #[test]
    fn http2_is_told_only_when_nothing_moves() {
        let quiet = speaking(kind::HTTP2, sample(0, 0, 200, 50));
        assert_eq!(History::default().judge(quiet), Verdict::GoAway);
        assert_eq!(History::default().judge(Sample { since_payload_ms: 40, ..quiet }), Verdict::Wait);
        assert_eq!(History::default().judge(Sample { unacknowledged: 1, ..quiet }), Verdict::Wait);
    }
}
