//! From what was typed to what the program uses: a table of settings, their raw text, checked values.

mod agents;
mod criterion;
mod guards;
mod litmus;
mod lookalike;
mod parse;
mod probe_url;
mod probes;
mod raw;
mod read;
mod reports;
mod settings;
pub(crate) mod table;
mod trace;

use clap::ArgMatches;

pub(crate) use guards::{Guards, Held, RequiredTag, Source};
pub(crate) use litmus::LitmusRun;
pub(crate) use probes::{During, Edges, Method, Probe};
pub(crate) use raw::{Environment, InputMistake, ProcessEnvironment};
pub(crate) use read::{read_access, read_policy, read_registry, read_run};
pub(crate) use reports::{Local, Metrics};
pub(crate) use settings::{
    Access, Agents, Architecture, Credentials, Delivery, Output, PolicyScope, RunSettings, S3Uri, Sequence,
    TaskChoice,
};
pub(crate) use trace::Trace;

/// All mistakes of one input.
#[derive(Debug, thiserror::Error)]
pub(crate) struct InputMistakes(pub Vec<InputMistake>);

/// Checked settings, and what the user should know about them.
#[derive(Debug)]
pub(crate) struct Checked<T> {
    pub(crate) settings: T,
    pub(crate) warnings: Vec<String>,
}

/// Reads all settings with `reader` and reports every mistake at once.
pub(crate) fn check<T>(
    matches: &ArgMatches,
    environment: &impl Environment,
    reader: impl FnOnce(&mut raw::Raw) -> Option<T>,
) -> Result<Checked<T>, InputMistakes> {
    let mut raw = raw::Raw::read(matches, environment);
    let variables = raw::variables(environment);
    let set = variables.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name.as_str());
    raw.warnings.extend(lookalike::warnings(set));
    match reader(&mut raw) {
        Some(settings) if raw.mistakes.is_empty() => Ok(Checked { settings, warnings: raw.warnings }),
        _ => Err(InputMistakes(raw.mistakes)),
    }
}

impl std::fmt::Display for InputMistakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} setting(s) are wrong:", self.0.len())?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl InputMistakes {
    /// A single mistake about a setting that is missing.
    pub(crate) fn one(name: &str, allowed: &str) -> Self {
        Self(vec![InputMistake { name: name.to_owned(), value: String::new(), allowed: allowed.to_owned() }])
    }
}
