//! `status`: what runs on this host. Never an error when nothing does.

use httpfault_common::contract::{ExperimentId, FaultStatus, Phase, StatusReport};

use crate::{
    control, last_word,
    state::{self, Entry},
};

/// Every fault on this host, or one.
pub(crate) async fn report(only: Option<&ExperimentId>) -> anyhow::Result<StatusReport> {
    let mut faults = Vec::new();
    for entry in state::all()? {
        if only.is_none_or(|id| id.as_str() == entry.name) {
            faults.extend(look(&entry).await);
        }
    }
    let over = faults.iter().all(|fault| fault.phase == Phase::Stale);
    let ended = only.filter(|_| over).and_then(last_word::read).map(Box::new);
    Ok(StatusReport { faults, ended })
}

/// One fault, if it has state here.
pub(crate) async fn of(id: &ExperimentId) -> anyhow::Result<Option<FaultStatus>> {
    Ok(report(Some(id)).await?.faults.into_iter().next())
}

/// Asks the agent, else says what the state tells. `None` for a directory whose name is no experiment id.
async fn look(entry: &Entry) -> Option<FaultStatus> {
    if entry.alive
        && let Ok(status) = control::status(&entry.socket()).await
    {
        return Some(status);
    }
    let phase = if entry.alive { unresponsive(entry) } else { Phase::Stale };
    let state = entry.state.as_ref();
    Some(FaultStatus {
        experiment_id: entry.name.parse().ok()?,
        phase,
        agent_pid: entry.holder().or(state.map(|state| state.agent_pid)).unwrap_or(0),
        injected_at: None,
        deadline: state.map(|state| state.deadline),
        port: state.map_or(0, |state| state.port),
        status_code: state.map_or(0, |state| state.status_code),
        targets: Vec::new(),
    })
}

/// An agent answers while its fault is on; before and after that its socket is not there or not served.
fn unresponsive(entry: &Entry) -> Phase {
    if entry.is_lost() || entry.socket().exists() { Phase::NotResponding } else { Phase::Starting }
}
