//! How much is measured.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Size {
    /// Length of each load, seconds.
    pub(crate) seconds: u64,
    /// Times that each load is put on each server.
    pub(crate) rounds: usize,
    /// Faults for the times.
    pub(crate) faults: usize,
    /// Open connections for the memory.
    pub(crate) connections: Vec<usize>,
    /// Sockets in a busy namespace: in TIME_WAIT, and established.
    pub(crate) waiting: usize,
    pub(crate) established: usize,
}

impl Size {
    /// A quarter of an hour.
    pub(crate) fn full() -> Self {
        Self { seconds: 2, rounds: 5, faults: 20, connections: vec![0, 1000, 10_000], ..Self::quick() }
    }

    /// Three minutes.
    pub(crate) fn quick() -> Self {
        Self {
            seconds: 1,
            rounds: 1,
            faults: 5,
            connections: vec![0, 1000],
            waiting: 50_000,
            established: 10_000,
        }
    }
}
