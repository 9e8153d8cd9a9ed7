//! What one probe has seen so far, and what that means.

use crate::{
    report::{Phase, ProbeReport, ProbeVerdict, Sample, Tally},
    tunables::{During, Edges, Probe},
};

/// Most samples that a report keeps of a probe.
const KEPT: usize = 500;

/// Samples of one probe, counted as they come.
#[derive(Debug)]
pub(super) struct Record {
    report: ProbeReport,
    edges: Edges,
    /// Failures in a row while the fault may be on.
    in_a_row: u32,
    /// Whether the newest sample after the fault held; `None` before there is one.
    recovered: Option<bool>,
    /// Failures since RAMP_TIME after the fault is over; `None` before.
    late_failures: Option<u32>,
}

impl Record {
    pub(super) fn new(probe: &Probe) -> Self {
        Self {
            report: ProbeReport::of(probe),
            edges: probe.edges,
            in_a_row: 0,
            recovered: None,
            late_failures: None,
        }
    }

    /// Takes a sample; returns how often it has failed in a row while the fault may be on.
    pub(super) fn take(&mut self, sample: Sample) -> u32 {
        let tally = match sample.phase {
            Phase::Before => Some(&mut self.report.before),
            Phase::During => Some(&mut self.report.during),
            Phase::After => Some(&mut self.report.after),
            Phase::TurningOn | Phase::TurningOff => None,
        };
        if let Some(Tally { samples, failed }) = tally {
            *samples += 1;
            *failed += u64::from(!sample.held);
        }
        match sample.phase {
            Phase::TurningOn | Phase::During if !sample.held => self.in_a_row += 1,
            Phase::After => {
                self.recovered = Some(sample.held);
                if let Some(failures) = &mut self.late_failures {
                    *failures += u32::from(!sample.held);
                }
            }
            Phase::Before | Phase::TurningOn | Phase::During | Phase::TurningOff => self.in_a_row = 0,
        }
        self.report.samples.push(sample);
        if self.report.samples.len() > KEPT {
            self.thin_out();
        }
        self.in_a_row
    }

    /// Leaves out every second sample that is like the one before it; where that is not enough, every second one.
    fn thin_out(&mut self) {
        let samples = std::mem::take(&mut self.report.samples);
        let all = samples.len();
        let like = |a: &Sample, b: &Sample| (a.phase, a.held, a.status) == (b.phase, b.held, b.status);
        let mut kept: Vec<Sample> = Vec::with_capacity(all);
        let mut left_out = false;
        for sample in samples {
            left_out = !left_out && kept.last().is_some_and(|last| like(last, &sample));
            if !left_out {
                kept.push(sample);
            }
        }
        if kept.len() > KEPT * 3 / 4 {
            let mut number = 0;
            kept.retain(|_| {
                number += 1;
                number % 2 == 1
            });
        }
        self.report.samples_left_out += (all - kept.len()) as u64;
        self.report.samples = kept;
    }

    /// Whether it is known that it holds, or that it does not, before the fault.
    pub(super) fn before(&self) -> Option<bool> {
        if !self.edges.before {
            return Some(true);
        }
        let Tally { samples, failed } = self.report.before;
        if failed > u64::from(self.report.tolerated_failures) {
            return Some(false);
        }
        (samples > failed).then_some(true)
    }

    /// From here on failures after the fault count.
    pub(super) fn ramp_is_over(&mut self) {
        self.late_failures.get_or_insert(0);
    }

    /// Whether it is known that it holds, or that it does not, after the fault.
    pub(super) fn after(&self) -> Option<bool> {
        if !self.edges.after {
            return Some(true);
        }
        match (self.recovered, self.late_failures) {
            (Some(true), _) => Some(true),
            (_, Some(failures)) if failures > self.report.tolerated_failures => Some(false),
            _ => None,
        }
    }

    /// The last sample that failed, in words.
    pub(super) fn last_failure(&self) -> String {
        let failed = self.report.samples.iter().rev().find(|sample| !sample.held);
        failed.map_or_else(String::new, |sample| {
            let status = sample.status.map(|status| format!("status {status}"));
            let parts: Vec<String> = status.into_iter().chain(sample.error.clone()).collect();
            parts.join(", ")
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.report.name
    }

    /// The report with its verdict, as far as there is one.
    pub(super) fn judged(&self) -> ProbeReport {
        let mut report = self.report.clone();
        let failed = [self.why_before(), self.why_during(), self.why_after()].into_iter().flatten();
        let failed: Vec<String> = failed.collect();
        let (verdict, reason) = if !failed.is_empty() {
            (ProbeVerdict::Failed, Some(failed.join("; ")))
        } else if report.mode != During::Either && report.during.samples == 0 {
            let why = "no sample fell into the time in which the fault was proved on";
            (ProbeVerdict::NotJudged, Some(why.to_owned()))
        } else if self.after().is_none() {
            (ProbeVerdict::NotJudged, Some("the run ended before it was asked after the fault".to_owned()))
        } else {
            (ProbeVerdict::Passed, None)
        };
        report.verdict = verdict;
        report.reason = reason;
        report
    }

    fn why_before(&self) -> Option<String> {
        let Tally { samples, failed } = self.report.before;
        (self.before() == Some(false)).then(|| {
            format!("{failed} of {samples} sample(s) failed before the fault ({})", self.last_failure())
        })
    }

    fn why_during(&self) -> Option<String> {
        let Tally { samples, failed } = self.report.during;
        let most = u64::from(self.report.tolerated_failures);
        match self.report.mode {
            During::Hold if failed > most => {
                Some(format!("{failed} of {samples} sample(s) failed while the fault was on, {most} may"))
            }
            During::Fail if samples - failed > most => Some(format!(
                "{} of {samples} sample(s) held while the fault was on, {most} may: it is not seen from here",
                samples - failed
            )),
            During::Hold | During::Fail | During::Either => None,
        }
    }

    fn why_after(&self) -> Option<String> {
        let Tally { samples, failed } = self.report.after;
        (self.after() == Some(false)).then(|| {
            format!("{failed} of {samples} sample(s) failed after the fault ({})", self.last_failure())
        })
    }
}
