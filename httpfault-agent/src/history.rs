//! What came in the course of time, kept small however long a fault is. Pure: the clock is an argument.
//!
//! Counts are read at odd moments. What they were at the end of each step is interpolated, so that a step is not longer
//! because a look came late.

use httpfault_common::contract::{Counters, History, TargetReport};
use jiff::Timestamp;

/// Length of a step, until there are too many.
const STEP_MS: u64 = 1000;
/// With more, two become one. The report of one target should fit in the 2,500 characters that SSM shows of the outputs of
/// many hosts in one call: else each host takes a call of its own.
const MOST: usize = 100;

/// Faulted, forwarded, spared, escaped, connections.
const SERIES: usize = 5;
type Counts = [u64; SERIES];

/// Counts at the end of each step.
pub(crate) struct Recorder {
    from: Timestamp,
    step_ms: u64,
    marks: Vec<Counts>,
    /// When counts were read last, in milliseconds from the beginning, and what they were.
    last: (u64, Counts),
}

impl Recorder {
    pub(crate) fn new(from: Timestamp) -> Self {
        Self { from, step_ms: STEP_MS, marks: Vec::new(), last: (0, Counts::default()) }
    }

    /// Takes down what the targets' counters are at that many milliseconds from the beginning.
    pub(crate) fn note(&mut self, at: u64, targets: &[TargetReport]) {
        let (before, known) = self.last;
        let at = at.max(before);
        let now = sum(targets);
        // A counter that can't be read any more has not gone back.
        let now: Counts = std::array::from_fn(|series| now[series].max(known[series]));
        loop {
            let end = (self.marks.len() as u64 + 1) * self.step_ms;
            if end > at {
                break;
            }
            let mark = std::array::from_fn(|series| between((before, known[series]), (at, now[series]), end));
            self.marks.push(mark);
            if self.marks.len() > MOST {
                // Every second one is the end of a step that is twice as long.
                self.marks = self.marks.iter().skip(1).step_by(2).copied().collect();
                self.step_ms *= 2;
            }
        }
        self.last = (at, now);
    }

    /// `None` where nothing came.
    pub(crate) fn history(&self) -> Option<History> {
        let (at, last) = self.last;
        let begun = at > self.marks.len() as u64 * self.step_ms;
        let marks: Vec<Counts> = self.marks.iter().copied().chain(begun.then_some(last)).collect();
        let [faulted, forwarded, spared, escaped, connections] =
            std::array::from_fn(|series| increments(marks.iter().map(|mark| mark[series])));
        let came = last.iter().any(|count| *count > 0);
        came.then_some(History {
            from: self.from,
            step_ms: self.step_ms,
            steps: marks.len(),
            faulted,
            forwarded,
            spared,
            escaped,
            connections,
        })
    }
}

fn sum(targets: &[TargetReport]) -> Counts {
    targets.iter().fold(Counts::default(), |sum, target| {
        let Counters { faulted, forwarded, spared, existing_escaped, .. } = target.counters;
        let connections = target.counters.connections_inbound + target.counters.connections_in_task;
        let counts = [faulted, forwarded, spared, existing_escaped, connections];
        std::array::from_fn(|series| sum[series] + counts[series])
    })
}

/// A count between two times at which it is known.
fn between(before: (u64, u64), after: (u64, u64), at: u64) -> u64 {
    let (length, part) = (u128::from(after.0 - before.0).max(1), u128::from(at.saturating_sub(before.0)));
    let came = u128::from(after.1 - before.1) * part / length;
    before.1 + u64::try_from(came).unwrap_or(0)
}

/// What each mark is more than the one before; zeros at the end are left out.
fn increments(marks: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut before = 0;
    let mut increments: Vec<u64> = marks.map(|mark| mark - std::mem::replace(&mut before, mark)).collect();
    let length = increments.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
    increments.truncate(length);
    increments
}

#[cfg(test)]
mod tests {
    use httpfault_common::contract::Outcome;

    use super::*;

    fn faulted(count: u64) -> [TargetReport; 1] {
        let counters = Counters { faulted: count, connections_inbound: count / 2, ..Counters::default() };
        let (target, outcome) = ("container web".to_owned(), Outcome::Faulted);
        [TargetReport { target, outcome, counters, causes: Vec::new(), error: None }]
    }

    fn recorder() -> Recorder {
        Recorder::new(Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn late_looks_make_no_step_longer() {
        let mut recorder = recorder();
        // Ten requests a second, seen at odd times.
        for at in [0, 480, 1120, 1500, 3700, 4000, 4250] {
            recorder.note(at, &faulted(at / 100));
        }
        let history = recorder.history().unwrap();
        assert_eq!((history.step_ms, history.steps), (1000, 5));
        assert_eq!(history.faulted, [9, 11, 10, 10, 2]);
        assert_eq!(history.faulted.iter().sum::<u64>(), 42);
        assert_eq!(history.connections.iter().sum::<u64>(), 21);
        assert!(history.spared.is_empty());
    }

    #[test]
    fn nothing_that_came_is_no_history() {
        let mut recorder = recorder();
        recorder.note(5000, &faulted(0));
        assert_eq!(recorder.history(), None);
    }

    #[test]
    fn what_stops_stays_and_nothing_goes_back() {
        let mut recorder = recorder();
        recorder.note(1000, &faulted(10));
        recorder.note(2000, &faulted(3));
        recorder.note(9000, &faulted(10));
        let history = recorder.history().unwrap();
        assert_eq!((history.faulted, history.steps), (vec![10], 9));
    }

    #[test]
    fn a_day_takes_no_more_room_than_minutes() {
        for seconds in [99_u64, 101, 599, 4000, 86_400] {
            let mut recorder = recorder();
            for look in 0..=seconds * 2 {
                recorder.note(look * 500, &faulted(look * 50_000));
            }
            let history = recorder.history().unwrap();
            assert!(history.steps <= MOST + 1, "{seconds} s: {} steps", history.steps);
            assert_eq!(history.faulted.iter().sum::<u64>(), seconds * 100_000);
            assert!(history.steps as u64 * history.step_ms >= seconds * 1000, "{seconds} s");
            let whole = &history.faulted[..history.steps - 1];
            assert!(whole.iter().all(|count| *count == 100 * history.step_ms), "{seconds} s: {whole:?}");
            let written = serde_json::to_string(&history).unwrap();
            assert!(written.len() < 3_000, "{seconds} s: {} characters", written.len());
        }
        // A host that slept for long.
        let mut recorder = recorder();
        recorder.note(40_000_000, &faulted(7));
        assert!(recorder.history().unwrap().steps <= MOST + 1);
    }
}
