//! Errors that end a command. Those of single tasks are part of the report instead.

use std::fmt;

use httpfault_common::contract::Problem;

use crate::stop::Stopped;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CtlError {
    #[error("nothing was changed, because:{0}")]
    Refused(Refusals),
    #[error("not confirmed, nothing was changed; answer 'y' or pass --yes")]
    Declined,
    #[error(
        "nothing was changed, because nobody can be asked: {0}; if that is meant, set HTTPFAULT_YES=true (--yes), else lower \
         TASK_REPLICA_AFFECTED_PERC or spare the checks"
    )]
    Unconfirmed(String),
    #[error("aborted before anything was changed")]
    Aborted,
    #[error("stopped before anything was changed: {0}")]
    Stopped(Stopped),
    #[error("left at once at the third signal without proof that the fault is off{}", recover_with(.recover))]
    Abandoned { recover: Option<String> },
}

/// Every reason for which a plan can't be made, not the first.
#[derive(Debug)]
pub(crate) struct Refusals(pub Vec<Problem>);

fn recover_with(command: &Option<String>) -> String {
    match command {
        Some(command) => format!("; make sure with: {command}"),
        None => "; nothing had been sent to a host".to_owned(),
    }
}

// === impl Refusals ===

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}
