//! What a command reports. Compilers and tests write for themselves.
#![expect(clippy::print_stdout, reason = "the report of a command goes to standard output")]

use std::{fmt::Display, time::Duration};

/// One line of the report.
pub(crate) fn line(text: impl Display) {
    println!("{text}");
}

/// Seconds up to a minute, then minutes and seconds.
pub(crate) fn time(time: Duration) -> String {
    match (time.as_secs() / 60, time.as_secs() % 60) {
        (0, _) => format!("{:.1} s", time.as_secs_f64()),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!(time(Duration::from_millis(1520)), "1.5 s");
        assert_eq!(time(Duration::from_secs(125)), "2 min 5 s");
    }
}
