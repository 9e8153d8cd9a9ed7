//! What a command reports. Compilers and tests write for themselves.

use std::{
    fmt::Display,
    io::{self, Write},
    time::Duration,
};

/// One line of the report. A reader that has seen enough, as `head` has, is no reason to stop the work.
pub(crate) fn line(text: impl Display) {
    drop(writeln!(io::stdout(), "{text}"));
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
