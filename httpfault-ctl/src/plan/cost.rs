//! How many AWS calls a run takes. An estimate: commands are looked at until they end.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::{DeliveryPlan, Window};
use crate::{
    agents::AgentFile,
    aws::{Optional, limit::INSTANCES_PER_COMMAND},
    fleet::Fleet,
    tunables::Architecture,
};

/// During the fault the hosts are looked at once in so many poll intervals.
pub(crate) const HOLD_STRIDE: u32 = 6;

/// Expected numbers of AWS calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ApiCalls {
    /// Made already, to make the plan.
    pub(crate) resolve: u32,
    /// For the run itself.
    pub(crate) run: u32,
    /// More, when every host lacks the agent.
    pub(crate) delivery_at_most: u32,
}

/// A short command: one call to send it, about two to see its end, one for its output.
const SHORT: u32 = 4;

pub(super) fn api_calls(
    fleet: &Fleet,
    windows: &[Window],
    agents: &BTreeMap<Architecture, AgentFile>,
    delivery: &DeliveryPlan,
    duration_secs: u64,
    poll: Duration,
) -> ApiCalls {
    let batches = |window: &Window| window.runs.len().div_ceil(INSTANCES_PER_COMMAND) as u32;
    // A look is a call for each command, or for each host.
    let host_by_host = fleet.lacking.contains(&Optional::ListCommandInvocations);
    let looks_at = |window: &Window| if host_by_host { window.runs.len() as u32 } else { batches(window) };
    let short = |window: &Window| batches(window) + (SHORT - 1) * looks_at(window);
    let stride = (poll * HOLD_STRIDE).as_millis().max(1);
    let looks = (u128::from(duration_secs) * 1000 / stride).min(100_000) as u32 + 2;
    // Inject, prove that it is on, look while it holds, fetch the outputs, prove that it is off.
    let in_window = |window: &Window| batches(window) + 2 * short(window) + (looks + 1) * looks_at(window);
    let in_windows: u32 = windows.iter().map(in_window).sum();
    let probes: u32 = agents.len() as u32 * windows.first().map_or(0, short);
    let host_batches = windows.iter().map(batches).max().unwrap_or(0);
    // Each piece is sent and looked at until it has landed.
    let delivery = (delivery.commands as u32 * 3 + SHORT) * host_batches * u32::from(delivery.commands > 0);
    ApiCalls { resolve: fleet.calls, run: probes + in_windows, delivery_at_most: delivery }
}
