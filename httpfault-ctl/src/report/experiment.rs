//! What every report says of the experiment itself.

use httpfault_common::contract::ExperimentId;
use serde::Serialize;

use crate::{
    plan::{GuardReport, Plan},
    tunables::Sequence,
};

/// The beginning of the reports of `plan` and `run`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Experiment {
    /// Version of the report's schema.
    pub(crate) schema: u32,
    pub(crate) experiment_id: ExperimentId,
    pub(crate) cluster: String,
    pub(crate) region: String,
    pub(crate) service: Option<String>,
    pub(crate) status_code: u16,
    pub(crate) port: u16,
    /// Of the fault on each task.
    pub(crate) duration_secs: u64,
    pub(crate) sequence: Sequence,
    /// Of the choice of tasks.
    pub(crate) seed: u64,
    /// Running tasks from which they were chosen.
    pub(crate) population: usize,
    /// Guards of the blast radius that held.
    pub(crate) guards: Vec<GuardReport>,
}

impl Experiment {
    pub(super) fn of(plan: &Plan) -> Self {
        Self {
            schema: 1,
            experiment_id: plan.experiment.clone(),
            cluster: plan.cluster.clone(),
            region: plan.region.clone(),
            service: plan.service.clone(),
            status_code: plan.status,
            port: plan.port,
            duration_secs: plan.duration_secs,
            sequence: plan.sequence,
            seed: plan.seed,
            population: plan.population,
            guards: plan.guards.clone(),
        }
    }

    /// Whose tasks they are: the service's, or the whole cluster's.
    pub(super) fn whose(&self) -> &str {
        self.service.as_deref().unwrap_or(&self.cluster)
    }
}
