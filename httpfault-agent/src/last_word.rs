//! The last word of a fault: its report, kept when everything else of it goes. Nobody hears an agent that was killed, or
//! whose output leads nowhere because SSM's worker has died; `status --experiment-id` tells it all the same.
//!
//! It is a file beside the experiments' directories, so it is no sign of a fault.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use httpfault_common::contract::{ExperimentId, Removed, TargetReport};
use jiff::Timestamp;

use crate::{clock, history::Recorder, state};

const PREFIX: &str = ".last-";
/// So many others stay when a new fault begins; `/run` is memory.
const KEPT: usize = 15;

/// What is kept of one run.
pub(crate) struct LastWord {
    path: PathBuf,
    targets: Vec<TargetReport>,
    /// From when this was made.
    history: Recorder,
    begun_ns: u64,
    warned: bool,
}

impl LastWord {
    pub(crate) fn of(experiment: &ExperimentId) -> Self {
        let (history, begun_ns) = (Recorder::new(Timestamp::now()), clock::boot_ns());
        Self { path: path(experiment), targets: Vec::new(), history, begun_ns, warned: false }
    }

    /// The report of a fault that is over, with what came in the course of time. That is not kept: whoever asks for the last
    /// word asks many hosts, and Systems Manager shows little of each.
    pub(crate) fn keep(&mut self, word: &mut Removed) {
        self.write(word);
        self.note(word);
    }

    fn note(&mut self, word: &mut Removed) {
        self.history.note(clock::boot_ns().saturating_sub(self.begun_ns) / 1_000_000, &word.targets);
        word.history = self.history.history().map(Box::new);
    }

    /// In place of what was kept before. Without it the fault is none the worse.
    fn write(&mut self, word: &Removed) {
        if let Err(why) = state::write_whole(&self.path, word)
            && !std::mem::replace(&mut self.warned, true)
        {
            log::warn!("keeping the last word of the fault: {why:#}");
        }
    }

    /// How it stands, in case the agent is killed. Targets that are over have what was said of them last.
    pub(crate) fn keep_so_far(&mut self, mut word: Removed) {
        let is_over = |known: &TargetReport| word.targets.iter().all(|target| target.target != known.target);
        let over: Vec<TargetReport> = self.targets.drain(..).filter(is_over).collect();
        word.targets.extend(over);
        self.targets.clone_from(&word.targets);
        self.note(&mut word);
        self.write(&word);
    }
}

/// The last word of an experiment, if it is kept.
pub(crate) fn read(experiment: &ExperimentId) -> Option<Removed> {
    serde_json::from_slice(&fs::read(path(experiment)).ok()?).ok()
}

/// Forgets what an earlier run of the same experiment said, and the oldest of the others.
pub(crate) fn make_room(experiment: &ExperimentId) {
    let own = path(experiment);
    let Ok(listing) = fs::read_dir(state::ROOT) else { return };
    let is_word = |name: &str| name.starts_with(PREFIX);
    let mut kept: Vec<(SystemTime, PathBuf)> = listing
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_word))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    kept.sort_by(|a, b| b.cmp(a));
    let others = kept.into_iter().map(|(_, path)| path).filter(|path| *path != own);
    for path in others.skip(KEPT).chain([own.clone()]) {
        // One that is not there, or stays, does no harm.
        let _gone = fs::remove_file(path);
    }
}

fn path(experiment: &ExperimentId) -> PathBuf {
    Path::new(state::ROOT).join(format!("{PREFIX}{experiment}"))
}
