//! The resolution that `run` and `plan` share.

use crate::{
    agents,
    aws::Cloud,
    error::{CtlError, Refusals},
    plan::{self, Plan},
    stop,
    tunables::RunSettings,
};

/// Looks everything up and makes the plan, or says every reason against it.
pub(super) async fn make_plan(cloud: &Cloud, settings: &RunSettings) -> anyhow::Result<Plan> {
    let agents = agents::find(&settings.agents)?;
    let mut fleet = cloud.fleet(&settings.cluster, &plan::inquiry(settings)).await?;
    let seed = settings.seed.unwrap_or_else(|| fastrand::u64(..));
    let experiment = match &settings.access.experiment {
        Some(id) => id.clone(),
        None => drawn_id()?,
    };
    let mut problems = stop::alarms_against(cloud, &settings.stop_alarms, &mut fleet.calls).await?;
    match plan::make(settings, &fleet, &agents, experiment, seed) {
        Ok(plan) if problems.is_empty() => return Ok(plan),
        Ok(_) => {}
        Err(more) => problems.extend(more),
    }
    Err(CtlError::Refused(Refusals(problems)).into())
}

/// The time and six random letters: sorts well and does not collide.
fn drawn_id() -> anyhow::Result<httpfault_common::contract::ExperimentId> {
    let letters: String = std::iter::repeat_with(fastrand::lowercase).take(6).collect();
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    Ok(format!("hf-{now}-{letters}").parse()?)
}
