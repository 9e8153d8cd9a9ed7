//! What people read while a command works: lines and a progress line on standard error.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::aws::ApiError;

/// Standard error, with a live line when it is a terminal.
#[derive(Debug)]
pub(crate) struct Console {
    bar: Option<ProgressBar>,
    terminal: bool,
}

impl Console {
    pub(crate) fn new() -> Self {
        Self { bar: None, terminal: std::io::stderr().is_terminal() }
    }

    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| write_line(line)),
            None => write_line(line),
        }
    }

    pub(crate) fn warn(&self, line: &str) {
        self.say(&format!("warning: {line}"));
    }

    /// Starts the line of a fault that holds; on a terminal only.
    pub(crate) fn begin(&mut self, length: Duration, what: &str) {
        if !self.terminal {
            return;
        }
        let bar = ProgressBar::new(length.as_secs());
        // A template that is wrong shows as the default one.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{bar:30}] {elapsed} of {len} s") {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(250));
        self.bar = Some(bar);
    }

    /// Where it is: the line of a terminal, else a plain line.
    pub(crate) fn progress(&self, gone: Duration, left: Duration, what: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(gone.as_secs());
                bar.set_message(format!("{what}, {} s left", left.as_secs()));
            }
            None => self.say(&format!("{what}, {} s left", left.as_secs())),
        }
    }

    pub(crate) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// `None`, said with what comes next, for a call that may succeed later: it was throttled, or its answer was lost.
    pub(crate) fn unless_passing<T>(
        &self,
        result: Result<T, ApiError>,
        then: &str,
    ) -> Result<Option<T>, ApiError> {
        match result {
            Err(error) if error.is_passing() => {
                self.warn(&format!("{error}; {then}"));
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    /// Whether a person can be asked.
    pub(crate) fn can_ask(&self) -> bool {
        self.terminal && std::io::stdin().is_terminal()
    }

    /// Asks a question; anything but yes is no.
    pub(crate) async fn ask(&self, question: &str) -> bool {
        write_line(&format!("{question}\nProceed? [y/N]"));
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map(|_| line).unwrap_or_default()
        });
        let line = line.await.unwrap_or_default();
        matches!(line.trim().to_lowercase().as_str(), "y" | "yes")
    }
}

fn write_line(line: &str) {
    // Nobody may be reading; the exit code is what counts then.
    let _closed = writeln!(std::io::stderr().lock(), "{line}");
}
