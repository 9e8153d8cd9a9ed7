//! What every connection of one responder shares.

use std::sync::Arc;

use crate::{
    activity::Life,
    config::{Config, Destination, Limits, Upstream},
    decide::Decider,
    injected::Injected,
    stats::Stats,
};

/// The fault and its application, its limits, and what was seen of it so far.
pub(crate) struct Context {
    pub(crate) decider: Decider,
    pub(crate) injected: Injected,
    pub(crate) destination: Destination,
    pub(crate) upstream: Arc<dyn Upstream>,
    pub(crate) limits: Limits,
    pub(crate) stats: &'static Stats,
    pub(crate) life: Life,
}

impl Context {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            decider: Decider::new(&config.fault, config.probe_token),
            injected: Injected::new(&config.fault, &config.experiment_id),
            destination: config.destination,
            upstream: config.upstream,
            limits: config.limits,
            stats: config.stats,
            life: Life::default(),
        }
    }
}
