//! What Litmus' runner tells the pod of an experiment: whose result it is. Not settings of a user, so not in the table.

use std::path::PathBuf;

use clap::ArgMatches;

use super::{
    raw::{Environment, Raw},
    table as t,
};

/// The experiment that Litmus' runner started.
#[derive(Clone, Debug)]
pub(crate) struct LitmusRun {
    pub(crate) engine: String,
    pub(crate) namespace: String,
    /// Of the engine; an abort deletes what has it as a label.
    pub(crate) uid: String,
    pub(crate) experiment: String,
    pub(crate) instance: Option<String>,
    pub(crate) pod: Option<String>,
    /// Where the pod's token is.
    pub(crate) token_dir: PathBuf,
}

impl LitmusRun {
    /// `None` where something else started this, or where LITMUS_RESULT=false.
    pub(crate) fn read(matches: &ArgMatches, environment: &impl Environment) -> Option<Self> {
        let get = |name: &str| {
            environment.get(name).and_then(|value| value.into_string().ok()).filter(|text| !text.is_empty())
        };
        let raw = Raw::read(matches, environment);
        if raw.text(&t::LITMUS_RESULT).is_some_and(|text| text.eq_ignore_ascii_case("false")) {
            return None;
        }
        Some(Self {
            engine: get("CHAOSENGINE")?,
            namespace: get("CHAOS_NAMESPACE")?,
            experiment: get("EXPERIMENT_NAME")?,
            uid: get("CHAOS_UID").unwrap_or_default(),
            instance: get("INSTANCE_ID"),
            pod: get("POD_NAME"),
            token_dir: raw.text(&t::KUBERNETES_TOKEN_DIR).unwrap_or(t::KUBERNETES_TOKEN_DIR.default).into(),
        })
    }

    /// The name under which the runner looks for the result.
    pub(crate) fn result_name(&self) -> String {
        let instance = self.instance.as_ref().map(|instance| format!("-{instance}"));
        format!("{}-{}{}", self.engine, self.experiment, instance.unwrap_or_default())
    }
}
