//! Spans, as a collector gets them.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::mpsc::{Receiver, channel},
};

use httpfault_simulator::World;
use serde_json::Value;

use crate::support::{PATIENCE, Site, finish};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A collector that takes one request, answers so, and tells the first line and the body.
fn collector(answer: &'static str) -> (String, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, got) = channel();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_ascii_lowercase());
        }
        assert!(lines.contains(&"content-type: application/json".to_owned()), "{lines:?}");
        let length = lines.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 2\r\n\r\n{{}}");
        reader.into_inner().write_all(answer.as_bytes()).unwrap();
        sender.send((lines.remove(0), serde_json::from_slice(&body).unwrap())).unwrap();
    });
    (address, got)
}

/// Members that OTLP's JSON has, and their forms.
fn checked(span: &Value) -> &Value {
    const KNOWN: &[&str] = &[
        "traceId",
        "spanId",
        "parentSpanId",
        "name",
        "kind",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "attributes",
        "status",
        "traceState",
        "flags",
        "droppedAttributesCount",
        "events",
        "droppedEventsCount",
        "links",
        "droppedLinksCount",
    ];
    assert!(span.as_object().unwrap().keys().all(|name| KNOWN.contains(&name.as_str())), "{span}");
    for (name, length) in [("traceId", 32), ("spanId", 16), ("parentSpanId", 16)] {
        let id = span[name].as_str().unwrap();
        assert!(id.len() == length && id.bytes().all(|c| c.is_ascii_hexdigit()), "{name}: {span}");
    }
    let at = |name: &str| span[name].as_str().unwrap().parse::<u64>().unwrap();
    assert!(
        at("startTimeUnixNano") > 1_600_000_000_000_000_000
            && at("endTimeUnixNano") >= at("startTimeUnixNano")
    );
    for attribute in span["attributes"].as_array().unwrap() {
        let (name, value) = attribute["value"].as_object().unwrap().iter().next().unwrap();
        assert!(["stringValue", "intValue"].contains(&name.as_str()) && value.is_string(), "{attribute}");
    }
    span
}

fn attribute<'v>(span: &'v Value, key: &str) -> &'v str {
    let found = span["attributes"].as_array().unwrap().iter().find(|one| one["key"] == key).unwrap();
    found["value"].as_object().unwrap().values().next().unwrap().as_str().unwrap()
}

#[test]
fn a_run_is_a_span_below_the_one_that_started_it() {
    let site = Site::new(World::fleet(2, 1));
    site.install();
    let (address, got) = collector("200 OK");
    // As Litmus gives both.
    let mut run = site.on_service("run");
    run.env("OTEL_EXPORTER_OTLP_ENDPOINT", address);
    run.env("TRACE_PARENT", format!(r#"{{"traceparent":"00-{TRACE}-{PARENT}-01"}}"#));
    let ended = finish(&mut run).exits(0);
    let (asked, body) = got.recv_timeout(PATIENCE).unwrap();
    assert_eq!(asked, "post /v1/traces http/1.1");
    let scope = &body["resourceSpans"][0]["scopeSpans"][0];
    let spans: Vec<&Value> = scope["spans"].as_array().unwrap().iter().map(checked).collect();
    assert_eq!(spans.len(), 3, "{body}");
    assert!(spans.iter().all(|span| span["traceId"] == TRACE), "{body}");
    let (run, tasks) = spans.split_first().unwrap();
    assert_eq!((run["name"].as_str(), run["parentSpanId"].as_str()), (Some("httpfault run"), Some(PARENT)));
    assert_eq!(run["status"]["code"], 1);
    assert_eq!(attribute(run, "httpfault.run"), ended.json()["experiment_id"]);
    for task in tasks {
        assert_eq!((&task["parentSpanId"], attribute(task, "httpfault.faulted")), (&run["spanId"], "7"));
    }
    let ids: BTreeSet<&str> = spans.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 3);
}

/// Spans are for who looks; the run is what it is without them.
#[test]
fn a_collector_that_does_not_take_them_is_a_warning() {
    let site = Site::new(World::fleet(1, 1));
    site.install();
    let (address, got) = collector("415 Unsupported Media Type");
    let with = |endpoint: &str| {
        let mut run = site.on_service("run");
        run.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).env("TRACE_PARENT", "nonsense");
        run
    };
    let ended = finish(&mut with(&format!("http://{address}/"))).exits(0);
    got.recv_timeout(PATIENCE).unwrap();
    ended.says("415").says("TRACE_PARENT");
    finish(&mut with("http://127.0.0.1:1")).exits(0).says("sending spans to http://127.0.0.1:1/v1/traces");
    finish(&mut with("ftp://x")).exits(64).says("OTEL_EXPORTER_OTLP_ENDPOINT");
}
