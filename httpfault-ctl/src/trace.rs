//! The run as spans of OpenTelemetry: itself, and the fault on each task. Sent once, at the end, as JSON over HTTP (OTLP
//! 1.x). The messages are OpenTelemetry's own crate; of its SDK, which sends while spans end, nothing is needed.

use std::time::Duration;

use anyhow::{Context, bail};
use http_body_util::Full;
use httpfault_common::contract::Exit;
use hyper::{Request, body::Bytes, header};
use jiff::Timestamp;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::SpanKind, status::StatusCode},
};
use tokio::time::timeout;

use crate::{
    report::{RunReport, TaskReport},
    tunables::Trace,
    web::{self, Trust},
};

/// For all of it: the run is over, and somebody may be waiting for the program.
const LIMIT: Duration = Duration::from_secs(5);

/// Sends the spans of a run that is over.
pub(crate) async fn send(trace: &Trace, report: &RunReport) -> anyhow::Result<()> {
    let what = || format!("sending spans to {}", trace.endpoint);
    let body = serde_json::to_vec(&spans(trace, report)).with_context(what)?;
    let request = Request::post(trace.endpoint.clone())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, web::USER_AGENT)
        .body(Full::new(Bytes::from(body)))
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

fn spans(trace: &Trace, report: &RunReport) -> ExportTraceServiceRequest {
    let (trace_id, parent) = match &trace.parent {
        Some(parent) => (parent.trace, parent.span.to_vec()),
        None => (fastrand::u128(1..).to_be_bytes(), Vec::new()),
    };
    let mut run = span(trace_id, parent, "httpfault run", (report.started_at, report.ended_at));
    let experiment = &report.experiment;
    run.attributes = vec![
        text("httpfault.run", experiment.experiment_id.as_str()),
        text("aws.ecs.cluster.name", &experiment.cluster),
        text("cloud.region", &experiment.region),
        text("httpfault.service", experiment.service.as_deref().unwrap_or_default()),
        number("http.response.status_code", experiment.status_code.into()),
        number("httpfault.exit", u8::from(report.exit).into()),
    ];
    run.status = Some(if report.exit == Exit::Done {
        Status { code: StatusCode::Ok.into(), ..Status::default() }
    } else {
        Status { code: StatusCode::Error.into(), message: report.summary() }
    });
    let tasks = report.tasks.iter().filter_map(|task| of_task(&run, report, task));
    let mut spans: Vec<Span> = tasks.collect();
    spans.insert(0, run);
    let scope = InstrumentationScope {
        name: "httpfault".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let resource = Resource {
        attributes: vec![
            text("service.name", env!("CARGO_PKG_NAME")),
            text("service.version", env!("CARGO_PKG_VERSION")),
        ],
        ..Resource::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

/// The time of the fault by the clock of its host.
fn of_task(run: &Span, report: &RunReport, task: &TaskReport) -> Option<Span> {
    let from = task.injected_at?;
    let to = task.removed_at.or(task.counters_at).unwrap_or(report.ended_at).max(from);
    let mut span = span(run.trace_id.clone(), run.span_id.clone(), "httpfault fault", (from, to));
    span.attributes = vec![
        text("aws.ecs.task.id", &task.task),
        text("host.id", &task.instance),
        number("httpfault.faulted", task.counters.faulted),
        number("httpfault.passed", task.counters.spared),
    ];
    Some(span)
}

fn span(
    trace_id: impl Into<Vec<u8>>,
    parent: Vec<u8>,
    name: &str,
    (from, to): (Timestamp, Timestamp),
) -> Span {
    // Before 1970 there were no spans.
    let nanos = |at: Timestamp| u64::try_from(at.as_nanosecond()).unwrap_or(0);
    Span {
        trace_id: trace_id.into(),
        span_id: fastrand::u64(1..).to_be_bytes().to_vec(),
        parent_span_id: parent,
        name: name.to_owned(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: nanos(from),
        end_time_unix_nano: nanos(to),
        ..Span::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: u64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}
