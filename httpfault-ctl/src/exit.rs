//! The one mapping from what happened to an exit code.

use httpfault_common::contract::Exit;

use crate::{error::CtlError, tunables::InputMistakes};

/// The code for an error that ended a command before it had a report.
pub(crate) fn of_error(error: &anyhow::Error) -> Exit {
    if error.is::<InputMistakes>() {
        return Exit::Usage;
    }
    match error.downcast_ref::<CtlError>() {
        Some(CtlError::Aborted) => Exit::Aborted,
        Some(CtlError::Abandoned { recover: Some(_) }) => Exit::LeftBehind,
        Some(CtlError::Abandoned { recover: None }) => Exit::Aborted,
        Some(CtlError::Refused(_) | CtlError::Declined | CtlError::Unconfirmed(_) | CtlError::Stopped(_))
        | None => Exit::Failed,
    }
}
