//! Medians and spreads, and how they are written.

use crate::results::{Row, Sample};

/// Sorted numbers.
#[derive(Clone, Debug)]
pub(crate) struct Spread(Vec<f64>);

impl Spread {
    /// Nothing where there are none.
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut numbers: Vec<f64> = numbers.into_iter().collect();
        numbers.sort_by(f64::total_cmp);
        (!numbers.is_empty()).then_some(Self(numbers))
    }

    pub(crate) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        let upper = self.0.get(middle).copied().unwrap_or_default();
        if self.0.len() % 2 == 1 { upper } else { f64::midpoint(self.0[middle - 1], upper) }
    }

    pub(crate) fn least(&self) -> f64 {
        self.0.first().copied().unwrap_or_default()
    }

    pub(crate) fn most(&self) -> f64 {
        self.0.last().copied().unwrap_or_default()
    }

    pub(crate) fn numbers(&self) -> &[f64] {
        &self.0
    }

    /// `12.3 (11.9 to 13.0)`
    pub(crate) fn text(&self, decimals: usize) -> String {
        let (median, least, most) = (self.median(), self.least(), self.most());
        if self.0.len() == 1 {
            return format!("{median:.decimals$}");
        }
        format!("{median:.decimals$} ({least:.decimals$} to {most:.decimals$})")
    }
}

/// One number of each sample.
pub(crate) fn of(samples: &[Sample], number: impl Fn(&Sample) -> f64) -> Option<Spread> {
    Spread::of(samples.iter().map(number))
}

/// CPU time of a response, microseconds.
pub(crate) fn cpu(row: &Row) -> Option<Spread> {
    of(&row.samples, |sample| sample.user + sample.kernel)
}

/// The share of the user part, over all rounds: the clock tick tells the parts apart, and many ticks tell it better.
pub(crate) fn user_share(row: &Row) -> f64 {
    let sum = |part: fn(&Sample) -> f64| -> f64 {
        row.samples.iter().map(|sample| part(sample) * sample.responses).sum()
    };
    let (user, kernel) = (sum(|sample| sample.user), sum(|sample| sample.kernel));
    if user + kernel > 0.0 { user / (user + kernel) } else { 0.0 }
}

/// The user part of a response, microseconds.
pub(crate) fn user(row: &Row) -> Option<f64> {
    Some(cpu(row)?.median() * user_share(row))
}

/// With separators, as in `12,345`.
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_separators() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]).unwrap().text(0), "2 (1 to 3)");
        assert_eq!(Spread::of([4.0, 1.0]).unwrap().median(), 2.5);
        assert!(Spread::of([]).is_none());
        assert_eq!(thousands(1_234_567.0), "1,234,567");
        assert_eq!(thousands(12.4), "12");
    }
}
