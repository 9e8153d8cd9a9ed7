//! What a run has put on so far. It outlives the story, so that an abort at any point knows what to take off.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use super::desk::Desk;
use crate::{aws::Sent, fleet::InstanceId, plan::HostRun, steady_state::SteadyState};

/// A run in progress.
pub(super) struct Live {
    pub(super) desk: Desk,
    pub(super) windows: Vec<LiveWindow>,
    pub(super) steady: SteadyState,
    /// Everything that was put on was seen off.
    over: bool,
}

/// One stretch of TOTAL_CHAOS_DURATION.
pub(super) struct LiveWindow {
    /// What each host is told.
    pub(super) runs: Vec<HostRun>,
    /// The commands that hold the fault, also those whose answer has not come yet.
    pub(super) sent: Vec<Sent>,
    /// From when on hosts may have it.
    pub(super) begun: Option<Instant>,
}

impl Live {
    pub(super) fn new(mut desk: Desk, steady: SteadyState) -> Self {
        let planned = std::mem::take(&mut desk.plan.windows).into_iter();
        let windows = planned.map(|window| LiveWindow { runs: window.runs, sent: Vec::new(), begun: None });
        Self { windows: windows.collect(), desk, steady, over: false }
    }

    /// Whether a host may have been told to put a fault on.
    pub(super) fn may_be_on(&self) -> bool {
        self.windows.iter().any(|window| !window.sent.is_empty())
    }

    pub(super) fn all_proved_off(&mut self) {
        self.over = true;
    }

    /// Whether nothing has to be taken off any more.
    pub(super) fn is_over(&self) -> bool {
        self.over || !self.may_be_on()
    }
}

impl LiveWindow {
    /// The hosts that were told to put the fault on.
    pub(super) fn told(&self) -> BTreeSet<InstanceId> {
        self.sent.iter().flat_map(|sent| &sent.instances).cloned().collect()
    }

    /// When the fault can have ended by its deadline: hosts count from later than they are told.
    pub(super) fn lasts_until(&self, duration_secs: u64) -> Instant {
        self.begun.unwrap_or_else(Instant::now) + Duration::from_secs(duration_secs)
    }

    pub(super) fn run_on(&self, host: &InstanceId) -> Option<&HostRun> {
        self.runs.iter().find(|run| run.instance == *host)
    }

    /// Number of tasks that get the fault in it.
    pub(super) fn tasks(&self) -> usize {
        self.runs.iter().map(|run| run.tasks.len()).sum()
    }
}
