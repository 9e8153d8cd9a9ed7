//! The live line on a terminal: time left, requests faulted a second, connections.

use std::time::Instant;

use httpfault_common::contract::RunSpec;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{fault::Fault, report::Reporter};

/// Draws nothing where there is no terminal.
pub(crate) struct View {
    bar: ProgressBar,
    last: (Instant, u64),
}

impl View {
    pub(crate) fn of(spec: &RunSpec, reporter: &Reporter) -> Self {
        let bar =
            if reporter.is_live() { ProgressBar::new(spec.duration_secs) } else { ProgressBar::hidden() };
        let template = format!("status {} on port {} {{wide_bar}} {{msg}}", spec.fault.status, spec.port);
        // A template that can't be parsed is drawn in the default style.
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        Self { bar, last: (Instant::now(), 0) }
    }

    pub(crate) fn draw(&mut self, faults: &[Fault]) {
        if self.bar.is_hidden() {
            return;
        }
        let (faulted, open) =
            faults.iter().map(Fault::pulse).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let (before, known) = self.last;
        let seconds = before.elapsed().as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = faulted.saturating_sub(known) as f64 / seconds;
        self.last = (Instant::now(), faulted);
        let left =
            faults.iter().map(|fault| fault.deadline().remaining()).max().unwrap_or_default().as_secs();
        self.bar.set_position(self.bar.length().unwrap_or(0).saturating_sub(left));
        self.bar
            .set_message(format!("{left} s left, {rate:.0} faulted/s, {faulted} in all, {open} connections"));
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
