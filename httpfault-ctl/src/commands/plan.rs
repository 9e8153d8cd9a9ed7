//! `plan`: what `run` would do.

use httpfault_common::contract::Exit;

use super::fleet::make_plan;
use crate::{
    aws::Cloud,
    report::{self, PlanReport},
    tunables::RunSettings,
};

/// Prints the plan and changes nothing.
pub(super) async fn plan(settings: &RunSettings) -> anyhow::Result<Exit> {
    let cloud = Cloud::connect(&settings.access).await?;
    let plan = make_plan(&cloud, settings).await?;
    report::emit(&PlanReport::new(&plan)?, settings.access.output);
    Ok(Exit::Done)
}
