//! `spec.probe` of the engine. Litmus' operator and runner do not run probes, the experiment does: one that is not run must
//! be refused, or its user would believe that it held.

use anyhow::bail;
use serde_json::Value;

/// Every probe of this experiment that can't be honoured, by name.
pub(super) fn check(engine: &Value, experiment: &str) -> anyhow::Result<()> {
    let experiments = engine["spec"]["experiments"].as_array().map(Vec::as_slice).unwrap_or_default();
    let own = experiments.iter().filter(|one| one["name"] == experiment);
    let probes = own.filter_map(|one| one["spec"]["probe"].as_array()).flatten();
    let named: Vec<String> = probes
        .map(|probe| {
            let text = |field: &str| probe[field].as_str().unwrap_or("(not set)");
            format!("{} ({})", text("name"), text("type"))
        })
        .collect();
    if !named.is_empty() {
        bail!(
            "the engine lists probes that httpfault does not run: {}; take them out of spec.probe, and let what watches the \
             service run beside this experiment",
            named.join(", ")
        );
    }
    Ok(())
}
