//! The run as spans of OpenTelemetry: itself, and the fault on each task. Sent once, at the end, as JSON over HTTP (OTLP 1.x,
//! `ExportTraceServiceRequest`), which needs no crate beside the client and serde_json.

use std::time::Duration;

use anyhow::{Context, bail};
use http_body_util::Full;
use httpfault_common::contract::Exit;
use hyper::{Request, body::Bytes, header};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    report::{RunReport, TaskReport},
    tunables::Trace,
    web::{self, Trust},
};

/// For all of it: the run is over, and somebody may be waiting for the program.
const LIMIT: Duration = Duration::from_secs(5);
/// SpanKind and StatusCode of OTLP.
const INTERNAL: u8 = 1;
const OK: u8 = 1;
const ERROR: u8 = 2;

/// Sends the spans of a run that is over.
pub(crate) async fn send(trace: &Trace, report: &RunReport) -> anyhow::Result<()> {
    let what = || format!("sending spans to {}", trace.endpoint);
    let request = Request::post(trace.endpoint.clone())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, web::USER_AGENT)
        .body(Full::new(Bytes::from(spans(trace, report).to_string())))
        .with_context(what)?;
    let trust = if trace.endpoint.scheme_str() == Some("https") { Trust::Host } else { Trust::Nobody };
    let client = web::client(trust, |_| {}).with_context(what)?;
    let answer = timeout(LIMIT, client.request(request)).await.with_context(what)?.with_context(what)?;
    if !answer.status().is_success() {
        bail!(
            "{}: it answered {}; OTLP over HTTP has port 4318, gRPC is not spoken",
            what(),
            answer.status()
        );
    }
    Ok(())
}

fn spans(trace: &Trace, report: &RunReport) -> Value {
    let trace_id = match &trace.parent {
        Some(parent) => parent.trace.clone(),
        None => format!("{:032x}", fastrand::u128(1..)),
    };
    let run_id = span_id();
    let mut run = span(&trace_id, &run_id, "httpfault run", (report.started_at, report.ended_at));
    if let Some(parent) = &trace.parent {
        run["parentSpanId"] = parent.span.clone().into();
    }
    let experiment = &report.experiment;
    run["attributes"] = json!([
        text("httpfault.run", experiment.experiment_id.as_str()),
        text("aws.ecs.cluster.name", &experiment.cluster),
        text("cloud.region", &experiment.region),
        text("httpfault.service", experiment.service.as_deref().unwrap_or_default()),
        number("http.response.status_code", experiment.status_code.into()),
        number("httpfault.exit", u8::from(report.exit).into()),
    ]);
    run["status"] = if report.exit == Exit::Done {
        json!({ "code": OK })
    } else {
        json!({ "code": ERROR, "message": report.summary() })
    };
    let tasks = report.tasks.iter().filter_map(|task| of_task(&trace_id, &run_id, report, task));
    let all: Vec<Value> = std::iter::once(run).chain(tasks).collect();
    json!({ "resourceSpans": [{
        "resource": { "attributes": [text("service.name", "httpfault-ctl"), text("service.version", env!("CARGO_PKG_VERSION"))] },
        "scopeSpans": [{ "scope": { "name": "httpfault", "version": env!("CARGO_PKG_VERSION") }, "spans": all }],
    }] })
}

/// The time of the fault by the clock of its host.
fn of_task(trace_id: &str, run_id: &str, report: &RunReport, task: &TaskReport) -> Option<Value> {
    let from = task.injected_at?;
    let to = task.removed_at.or(task.counters_at).unwrap_or(report.ended_at).max(from);
    let mut span = span(trace_id, &span_id(), "httpfault fault", (from, to));
    span["parentSpanId"] = run_id.into();
    span["attributes"] = json!([
        text("aws.ecs.task.id", &task.task),
        text("host.id", &task.instance),
        number("httpfault.faulted", task.counters.faulted),
        number("httpfault.passed", task.counters.spared),
    ]);
    Some(span)
}

fn span(trace_id: &str, id: &str, name: &str, (from, to): (Timestamp, Timestamp)) -> Value {
    // 64-bit integers are strings in OTLP's JSON.
    let nanos = |at: Timestamp| at.as_nanosecond().to_string();
    json!({
        "traceId": trace_id, "spanId": id, "name": name, "kind": INTERNAL,
        "startTimeUnixNano": nanos(from), "endTimeUnixNano": nanos(to),
    })
}

fn span_id() -> String {
    format!("{:016x}", fastrand::u64(1..))
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}
