//! `status --output openmetrics`, as Prometheus' own library reads it.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use httpfault_simulator::python::Python;
use httpfault_tests::{
    agent::{agent, experiment},
    command::output,
    site::Site,
};
use serde_json::Value;

fn samples(text: &str) -> Result<Vec<Value>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("integrations/metrics.py");
    let mut python: Command = Python::with_packages()?.command();
    let python = python.arg("-B").arg(script).arg("openmetrics").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.stderr(Stdio::piped()).spawn().context("starting the reader")?;
    python.stdin.take().context("the reader has no standard input")?.write_all(text.as_bytes())?;
    let read = python.wait_with_output()?;
    ensure!(read.status.success(), "{}\n{text}", String::from_utf8_lossy(&read.stderr));
    serde_json::from_slice(&read.stdout).context("reading the samples")
}

fn value(samples: &[Value], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let fits = |one: &&Value| {
        one["name"] == name && labels.iter().all(|(label, value)| one["labels"][label] == *value)
    };
    samples.iter().find(fits)?["value"].as_f64()
}

#[test]
fn what_is_on_and_what_it_met_is_shown() -> Result<()> {
    let site = Site::take("metrics")?;
    let id = experiment("metrics");
    let running = site.inject(&id, &[])?;
    for _ in 0..3 {
        assert_eq!(site.get(site.v4(), "/")?.status, 503);
    }
    let show = || -> Result<Vec<Value>> {
        samples(&output(&mut agent(["status", "--experiment-id", &id, "--output", "openmetrics"])?)?)
    };
    let shown = show()?;
    let run = ("run", id.as_str());
    assert_eq!(value(&shown, "httpfault_active", &[run]), Some(1.0), "{shown:?}");
    assert_eq!(value(&shown, "httpfault_status_code", &[run]), Some(503.0));
    let faulted = [run, ("outcome", "faulted"), ("port", "80")];
    assert_eq!(value(&shown, "httpfault_requests_total", &faulted), Some(3.0), "{shown:?}");
    assert_eq!(value(&shown, "httpfault_connections_total", &[run, ("kind", "inbound")]), Some(3.0));
    let armed = value(&shown, "httpfault_window_seconds", &[run, ("edge", "armed")]);
    assert!(armed.is_some_and(|at| at > 1.6e9), "{shown:?}");

    running.terminate()?;
    // The last word stays, and says when it was off.
    let shown = show()?;
    assert_eq!(value(&shown, "httpfault_active", &[run]), Some(0.0), "{shown:?}");
    let disarmed = value(&shown, "httpfault_window_seconds", &[run, ("edge", "disarmed")]);
    assert!(disarmed >= armed, "{shown:?}");
    let faulted = value(&shown, "httpfault_requests_total", &[run, ("outcome", "faulted")]);
    assert_eq!(faulted, Some(3.0), "{shown:?}");
    Ok(())
}
