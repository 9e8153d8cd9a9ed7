//! Exit codes of both binaries.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};

/// How a command ended. 137, 168, 169 and 194 are never used: SSM gives them meanings of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Exit {
    /// Done and verified.
    Done = 0,
    /// Failed, nothing left behind.
    Failed = 1,
    /// Partly done, or no traffic was faulted.
    Partly = 2,
    /// Something was left behind; the message names it and the command that removes it.
    LeftBehind = 3,
    /// The input was wrong; nothing was done.
    Usage = 64,
    /// Aborted by a signal and cleaned up.
    Aborted = 130,
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> Self {
        exit as Self
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl TryFrom<u8> for Exit {
    type Error = UnknownExit;

    fn try_from(code: u8) -> Result<Self, UnknownExit> {
        [Self::Done, Self::Failed, Self::Partly, Self::LeftBehind, Self::Usage, Self::Aborted]
            .into_iter()
            .find(|exit| *exit as u8 == code)
            .ok_or(UnknownExit(code))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0} is not an exit code of httpfault")]
pub struct UnknownExit(u8);
