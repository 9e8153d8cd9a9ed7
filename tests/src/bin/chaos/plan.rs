//! What one round does: all of it comes from the seed and the round's number.

use std::time::Duration;

use fastrand::Rng;

/// One round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) mode: Mode,
    pub(crate) harm: Harm,
    /// Who ends the fault, if the harm does not.
    pub(crate) end: End,
    /// How many answers are faulted before the harm is done.
    pub(crate) faults: usize,
    /// Whether the application is asked for each answer's body.
    pub(crate) forward: bool,
}

/// What becomes of connections that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Keep,
    Drain,
    Reset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Deadline,
    Terminate,
    Interrupt,
    Remove,
}

/// What is done to a run. `nth` chooses among the processes that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// So that a failure without harm is seen as one.
    None,
    /// SIGKILL for one of the agent's processes.
    KillOne {
        nth: usize,
    },
    KillAll,
    /// While it looks, claims or injects.
    KillStarting {
        nth: usize,
        after: Duration,
    },
    /// While it removes.
    KillEnding {
        nth: usize,
        after: Duration,
    },
    /// Killed, and at once the same experiment again.
    Restart,
    StopOne {
        nth: usize,
        time: Duration,
    },
    StopAll {
        time: Duration,
    },
    /// Removed from outside while it is stopped.
    RemoveStopped,
    /// One process runs a tenth of the time.
    Starve {
        nth: usize,
        time: Duration,
    },
    /// Busy threads on every processor.
    Crowd {
        time: Duration,
    },
    /// The container's process ends, and comes back later.
    KillTarget,
    /// What is below /run/httpfault is gone.
    TakeState,
    /// No room below /run/httpfault when it starts.
    FullBefore,
    /// No room from the middle of it on.
    FullMeanwhile,
    /// The target's or the client machine's interface is down for a while.
    Unplug {
        target: bool,
        time: Duration,
    },
}

impl Plan {
    pub(crate) fn of(seed: u64, round: u64) -> Self {
        // Neighbours of a seed give unrelated rounds.
        let mut rng = Rng::with_seed(Rng::with_seed(seed).u64(..) ^ Rng::with_seed(!round).u64(..));
        let mode = [Mode::Keep, Mode::Drain, Mode::Reset][rng.usize(..3)];
        let end = [End::Deadline, End::Terminate, End::Interrupt, End::Remove][rng.usize(..4)];
        Self { mode, harm: harm(&mut rng), end, faults: rng.usize(1..100), forward: rng.usize(..4) == 0 }
    }
}

fn harm(rng: &mut Rng) -> Harm {
    let nth = rng.usize(..12);
    let mut milliseconds = |range| Duration::from_millis(rng.u64(range));
    let (short, long, instant) = (milliseconds(50..400), milliseconds(50..3500), milliseconds(0..20));
    let target = rng.bool();
    // A stopped agent is waited for, so that round takes a quarter of a minute: one in forty.
    match rng.usize(..40) {
        0..=2 => Harm::None,
        3..=8 => Harm::KillOne { nth },
        9 | 10 => Harm::KillAll,
        11..=14 => Harm::KillStarting { nth, after: short },
        15..=18 => Harm::KillEnding { nth, after: instant },
        19 | 20 => Harm::Restart,
        21..=24 => Harm::StopOne { nth, time: long },
        25 => Harm::StopAll { time: long },
        26 => Harm::RemoveStopped,
        27 | 28 => Harm::Starve { nth, time: long },
        29 | 30 => Harm::Crowd { time: short * 3 },
        31 | 32 => Harm::KillTarget,
        33 | 34 => Harm::TakeState,
        35 => Harm::FullBefore,
        36 => Harm::FullMeanwhile,
        _ => Harm::Unplug { target, time: short },
    }
}

impl Mode {
    /// As the agent's command line has it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Drain => "drain",
            Self::Reset => "reset",
        }
    }
}
