//! `spec.probe` of the engine. Litmus' operator and runner do not run probes, the experiment does: one that is not run must
//! be refused, or its user would believe that it held. Kind httpProbe is run, by the steady state of the run.

use anyhow::bail;
use serde_json::{Map, Value, json};

use crate::tunables::{Edges, Probe};

/// A probe, and the mode that its result repeats.
#[derive(Clone, Debug)]
pub(crate) struct LitmusProbe {
    pub(crate) probe: Probe,
    pub(crate) mode: String,
}

/// What of an httpProbe has a meaning here. `attempt` is how often it may fail in a row there; here, in a phase.
const INPUTS: &[&str] = &["url", "insecureSkipVerify", "method"];
const PROPERTIES: &[&str] =
    &["probeTimeout", "interval", "probePollingInterval", "attempt", "retry", "stopOnFailure", "verbosity"];

/// The probes of this experiment; every one that can't be honoured is named.
pub(super) fn read(engine: &Value, experiment: &str) -> anyhow::Result<Vec<LitmusProbe>> {
    let experiments = engine["spec"]["experiments"].as_array().map(Vec::as_slice).unwrap_or_default();
    let own = experiments.iter().filter(|one| one["name"] == experiment);
    let (mut probes, mut refused) = (Vec::new(), Vec::new());
    for probe in own.filter_map(|one| one["spec"]["probe"].as_array()).flatten() {
        match read_one(probe) {
            Ok(probe) => probes.push(probe),
            Err(why) => refused.push(format!("\n  {}: {why}", text(probe, "name").unwrap_or("(no name)"))),
        }
    }
    if !refused.is_empty() {
        bail!("the engine lists probes that httpfault can't run, so nothing was done:{}", refused.concat());
    }
    Ok(probes)
}

fn read_one(probe: &Value) -> Result<LitmusProbe, String> {
    let kind = text(probe, "type").unwrap_or_default();
    if kind != "httpProbe" {
        return Err(format!("{kind} is not run, httpProbe is; take it out of spec.probe"));
    }
    let inputs = &probe["httpProbe/inputs"];
    let properties = &probe["runProperties"];
    only(inputs, INPUTS)?;
    only(properties, PROPERTIES)?;
    let mode = text(probe, "mode").unwrap_or_default();
    let (during, edges) = match mode {
        "SOT" => ("either", Edges { before: true, after: false }),
        "EOT" => ("either", Edges { before: false, after: true }),
        "Edge" => ("either", Edges::BOTH),
        "OnChaos" => ("hold", Edges { before: false, after: false }),
        "Continuous" => ("hold", Edges::BOTH),
        other => return Err(format!("mode {other:?}: allowed is SOT, EOT, Edge, OnChaos or Continuous")),
    };
    let mut typed = json!({
        "name": probe["name"], "url": inputs["url"], "during": during,
        "insecure_skip_verify": inputs["insecureSkipVerify"] == true,
    });
    let asked = method(inputs)?;
    typed["method"] = asked.0.into();
    typed["status"] = format!("{} {}", text(asked.1, "criteria").unwrap_or("=="), code(asked.1)).into();
    for (from, to) in [("contentType", "content_type"), ("body", "request_body")] {
        if let Some(value) = text(asked.1, from) {
            typed[to] = value.into();
        }
    }
    let interval = text(properties, "probePollingInterval").or_else(|| text(properties, "interval"));
    for (to, value) in [("timeout", text(properties, "probeTimeout")), ("interval", interval)] {
        if let Some(value) = value {
            typed[to] = value.into();
        }
    }
    let attempts = properties["attempt"].as_u64().or_else(|| properties["retry"].as_u64()).unwrap_or(1);
    typed["tolerated_failures"] = attempts.saturating_sub(1).into();
    if properties["stopOnFailure"] == true {
        typed["stop_after"] = attempts.max(1).into();
    }
    Ok(LitmusProbe { probe: Probe::of_fields(typed, edges)?, mode: mode.to_owned() })
}

/// The one of both that is there, and what it holds.
fn method(inputs: &Value) -> Result<(&'static str, &Value), String> {
    let (get, post) = (&inputs["method"]["get"], &inputs["method"]["post"]);
    let (name, method, known): (_, _, &[&str]) = match (get.is_object(), post.is_object()) {
        (true, false) => ("GET", get, &["criteria", "responseCode"]),
        (false, true) => ("POST", post, &["criteria", "responseCode", "contentType", "body"]),
        _ => return Err("method needs get or post".to_owned()),
    };
    only(method, known)?;
    Ok((name, method))
}

/// A text, or a number where somebody did not quote it.
fn code(method: &Value) -> String {
    let code = &method["responseCode"];
    code.as_str().map_or_else(|| code.to_string(), str::to_owned)
}

fn only(value: &Value, known: &[&str]) -> Result<(), String> {
    let none = Map::new();
    let unknown = value.as_object().unwrap_or(&none).keys().filter(|name| !known.contains(&name.as_str()));
    let unknown: Vec<&str> = unknown.map(String::as_str).collect();
    if unknown.is_empty() { Ok(()) } else { Err(format!("{} is not known here", unknown.join(", "))) }
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value[name].as_str().filter(|text| !text.is_empty())
}
