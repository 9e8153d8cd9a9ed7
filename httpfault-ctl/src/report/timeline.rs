//! What the agents of all hosts saw in the course of time, on one axis. Pure: no I/O, no clock.

use httpfault_common::contract::History;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

/// More steps than any agent reports.
const MOST_STEPS: usize = 1000;
/// As many as a picture can show.
const MOST_BINS: i64 = 240;
/// Longest step: a day.
const LONGEST_STEP_MS: u64 = 86_400_000;

/// What one host's agent saw in the course of a run of it. Its clock is taken as it is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HostHistory {
    pub(crate) instance: String,
    #[serde(flatten)]
    history: History,
}

/// Rates of all hosts together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Timeline {
    pub(super) from: Timestamp,
    pub(super) step: SignedDuration,
    /// Requests a second, step by step.
    pub(super) rates: Vec<Rates>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    /// Answered with the fault.
    pub(super) faulted: f64,
    /// Left to the application, or there over connections from before the fault.
    pub(super) passed: f64,
}

impl HostHistory {
    /// `None` for one that no agent makes: what comes from a host is checked.
    pub(crate) fn of(instance: &str, history: &History) -> Option<Self> {
        let fits = (1..=LONGEST_STEP_MS).contains(&history.step_ms) && history.steps <= MOST_STEPS;
        let mut history = fits.then(|| history.clone())?;
        let History { steps, faulted, forwarded, spared, escaped, connections, .. } = &mut history;
        for series in [faulted, forwarded, spared, escaped, connections] {
            series.truncate(*steps);
        }
        Some(Self { instance: instance.to_owned(), history })
    }

    /// Whether both are of the same run of the same agent; the later one knows more.
    pub(crate) fn is_of_same_run(&self, other: &Self) -> bool {
        self.instance == other.instance && self.history.from == other.history.from
    }

    fn step(&self) -> i64 {
        i64::try_from(self.history.step_ms).unwrap_or(i64::MAX)
    }

    fn begin(&self) -> i64 {
        self.history.from.as_millisecond()
    }

    fn end(&self) -> i64 {
        let steps = i64::try_from(self.history.steps).unwrap_or(i64::MAX);
        self.begin().saturating_add(self.step().saturating_mul(steps))
    }

    fn in_step(&self, step: usize) -> Rates {
        let at = |series: &Vec<u64>| series.get(step).map_or(0.0, |count| *count as f64);
        let History { faulted, spared, escaped, .. } = &self.history;
        Rates { faulted: at(faulted), passed: at(spared) + at(escaped) }
    }
}

impl Timeline {
    pub(super) fn begin_of(&self, step: usize) -> Timestamp {
        self.from + self.step * i32::try_from(step).unwrap_or(i32::MAX)
    }

    pub(super) fn end(&self) -> Timestamp {
        self.begin_of(self.rates.len())
    }

    /// Joins the histories that lie within these times.
    pub(super) fn of(histories: &[HostHistory], within: (Timestamp, Timestamp)) -> Option<Self> {
        let (first, last) = (within.0.as_millisecond(), within.1.as_millisecond());
        let histories: Vec<&HostHistory> =
            histories.iter().filter(|host| host.begin() >= first && host.end() <= last).collect();
        let begin = histories.iter().map(|host| host.begin()).min()?;
        let end = histories.iter().map(|host| host.end()).max()?;
        let longest = histories.iter().map(|host| host.step()).max()?;
        // No bin is shorter than the steps of any host: nothing is made up.
        let step = longest.max((end - begin) / MOST_BINS + 1);
        let bins = usize::try_from((end - begin) / step + 1).ok()?;
        let mut rates = vec![Rates::default(); bins];
        for host in histories {
            for number in 0..host.history.steps {
                let from = host.begin() - begin + host.step() * i64::try_from(number).ok()?;
                spread(&mut rates, step, (from, from + host.step()), host.in_step(number));
            }
        }
        if rates.last() == Some(&Rates::default()) {
            rates.pop();
        }
        let from = Timestamp::from_millisecond(begin).ok()?;
        Some(Self { from, step: SignedDuration::from_millis(step), rates })
    }
}

/// Adds counts to the bins that their step lies in, each by its share of it, as rates a second.
fn spread(rates: &mut [Rates], bin: i64, (from, to): (i64, i64), counts: Rates) {
    let (first, last) = (from / bin, (to - 1) / bin);
    for number in first..=last {
        let Some(rate) = usize::try_from(number).ok().and_then(|number| rates.get_mut(number)) else {
            continue;
        };
        let overlap = to.min((number + 1) * bin) - from.max(number * bin);
        let share = overlap as f64 / (to - from) as f64 * 1000.0 / bin as f64;
        rate.faulted += counts.faulted * share;
        rate.passed += counts.passed * share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(instance: &str, from_ms: i64, step_ms: u64, faulted: &[u64], spared: &[u64]) -> HostHistory {
        let history = History {
            from: Timestamp::from_millisecond(from_ms).unwrap(),
            step_ms,
            steps: faulted.len().max(spared.len()),
            faulted: faulted.to_vec(),
            forwarded: Vec::new(),
            spared: spared.to_vec(),
            escaped: Vec::new(),
            connections: Vec::new(),
        };
        HostHistory::of(instance, &history).unwrap()
    }

    fn always() -> (Timestamp, Timestamp) {
        (Timestamp::UNIX_EPOCH, Timestamp::from_second(1_000_000).unwrap())
    }

    #[test]
    fn hosts_are_added_up_whatever_their_steps_are() {
        let one = host("i-1", 10_000, 1000, &[10, 10, 10, 10], &[1]);
        let other = host("i-2", 11_000, 2000, &[40, 20], &[]);
        let joined = Timeline::of(&[one, other], always()).unwrap();
        assert_eq!((joined.from.as_second(), joined.step.as_millis()), (10, 2000));
        let faulted: Vec<f64> = joined.rates.iter().map(|rates| rates.faulted).collect();
        // 20 in the first two seconds and half of 40; then 20, half of 40 and half of 20; then the rest.
        assert_eq!(faulted, [20.0, 25.0, 5.0]);
        assert_eq!(joined.rates[0].passed, 0.5);
        assert_eq!(faulted.iter().sum::<f64>() * 2.0, 100.0);
    }

    #[test]
    fn a_long_run_has_no_more_bins_than_a_picture_shows() {
        let long = host("i-1", 0, 1000, &vec![7; 900], &[]);
        let joined = Timeline::of(&[long], always()).unwrap();
        assert!(joined.rates.len() <= 241, "{}", joined.rates.len());
        let all: f64 = joined.rates.iter().map(|rates| rates.faulted).sum();
        assert!((all * joined.step.as_secs_f64() - 6300.0).abs() < 0.01);
    }

    #[test]
    fn a_host_with_another_time_is_not_drawn() {
        let far = host("i-1", 900_000_000_000, 1000, &[1], &[]);
        assert_eq!(Timeline::of(&[far], always()), None);
    }

    #[test]
    fn what_no_agent_says_is_refused() {
        let history = host("i-1", 0, 1000, &[1, 2, 3], &[]).history;
        assert!(HostHistory::of("i-1", &History { step_ms: 0, ..history.clone() }).is_none());
        assert!(HostHistory::of("i-1", &History { step_ms: u64::MAX, ..history.clone() }).is_none());
        assert!(HostHistory::of("i-1", &History { steps: usize::MAX, ..history.clone() }).is_none());
        let cut = HostHistory::of("i-1", &History { steps: 1, ..history }).unwrap();
        assert_eq!(cut.history.faulted, [1]);
    }
}
