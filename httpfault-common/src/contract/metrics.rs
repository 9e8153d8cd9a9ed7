//! The numbers of a fault under the names that dashboards show, one set for every rendering: OpenMetrics text here, CloudWatch's
//! format in the controller.
//!
//! The same text in Prometheus' older format is for node_exporter's textfile collector, which reads no other: there a counter
//! is declared by its whole name, here without its `_total`, so no text declares it in both. Written without a crate, because
//! the agent has no room for a registry.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::report::{Counters, FaultStatus, Phase, Removed, StatusReport};

/// A metric whose samples differ in one label.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Without `httpfault_` and `_total`.
    pub name: &'static str,
    /// What tells its samples of one target apart.
    pub label: &'static str,
    help: &'static str,
}

pub const REQUESTS: Family = Family {
    name: "requests",
    label: "outcome",
    help: "Requests: answered with the fault, passed to the application, escaped over existing connections, errors of the application.",
};
pub const PROTOCOLS: Family =
    Family { name: "requests_seen", label: "proto", help: "Requests by version of HTTP." };
pub const CONNECTIONS: Family = Family {
    name: "connections",
    label: "kind",
    help: "Connections: new ones from outside and inside the task, passed through as TLS, as no HTTP, or in doubt; existing ones.",
};
pub const EXISTING: Family = Family {
    name: "existing_connections",
    label: "fate",
    help: "What became of connections from before the fault.",
};

/// What was counted at a target: of which family, which of it, how many.
pub fn counted(counters: &Counters) -> [(&'static Family, &'static str, u64); 21] {
    let c = counters;
    [
        (&REQUESTS, "faulted", c.faulted),
        (&REQUESTS, "passed", c.spared),
        (&REQUESTS, "escaped", c.existing_escaped),
        (&REQUESTS, "error", c.upstream_errors),
        (&PROTOCOLS, "http10", c.requests_http10),
        (&PROTOCOLS, "http11", c.requests_http11),
        (&PROTOCOLS, "http2", c.requests_http2),
        (&CONNECTIONS, "inbound", c.connections_inbound),
        (&CONNECTIONS, "in_task", c.connections_in_task),
        (&CONNECTIONS, "tls", c.tls),
        (&CONNECTIONS, "not_http", c.not_http),
        (&CONNECTIONS, "passed_open", c.passed_open),
        (&CONNECTIONS, "existing", c.existing_found),
        (&EXISTING, "taken", c.existing_taken),
        (&EXISTING, "given_back", c.existing_given_back),
        (&EXISTING, "drained", c.existing_drained),
        (&EXISTING, "reset", c.existing_reset),
        (&EXISTING, "tls", c.existing_tls),
        (&EXISTING, "websocket", c.existing_websocket),
        (&EXISTING, "not_http", c.existing_not_http),
        (&EXISTING, "still_open", c.existing_still_open),
    ]
}

/// A fault, on one host or on all of an experiment.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The experiment id.
    pub run: String,
    /// Where it is known: an agent's last word does not have it.
    pub port: Option<u16>,
    pub status_code: Option<u16>,
    pub active: bool,
    /// When it was proved on.
    pub armed: Option<Timestamp>,
    pub disarmed: Option<Timestamp>,
    /// Each with its name.
    pub targets: Vec<(String, Counters)>,
}

/// OpenMetrics, to its end.
pub fn openmetrics(faults: &[Measured]) -> String {
    text(faults, Format::OpenMetrics)
}

/// The format that was before it.
pub fn prometheus(faults: &[Measured]) -> String {
    text(faults, Format::Prometheus)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    OpenMetrics,
    Prometheus,
}

fn text(faults: &[Measured], format: Format) -> String {
    let mut text = String::new();
    head(&mut text, "active", "gauge", "Whether the fault is on.");
    for fault in faults {
        sample(&mut text, "active", &[("run", &fault.run)], u8::from(fault.active));
    }
    let help = "When the fault was proved on, and when it was off, since 1970.";
    head(&mut text, "window_seconds", "gauge", help);
    for fault in faults {
        for (edge, at) in [("armed", fault.armed), ("disarmed", fault.disarmed)] {
            if let Some(at) = at {
                let seconds = at.as_millisecond() as f64 / 1000.0;
                sample(&mut text, "window_seconds", &[("run", &fault.run), ("edge", edge)], seconds);
            }
        }
    }
    head(&mut text, "status_code", "gauge", "The status that is answered.");
    for fault in faults {
        let labels = [("run", fault.run.as_str()), ("version", env!("CARGO_PKG_VERSION"))];
        if let Some(code) = fault.status_code {
            sample(&mut text, "status_code", &labels, code);
        }
    }
    for family in [&REQUESTS, &PROTOCOLS, &CONNECTIONS, &EXISTING] {
        let whole = format!("{}_total", family.name);
        let declared = if format == Format::OpenMetrics { family.name } else { whole.as_str() };
        head(&mut text, declared, "counter", family.help);
        for fault in faults {
            let port = fault.port.map(|port| port.to_string());
            for (target, counters) in &fault.targets {
                for (_, which, value) in counted(counters).into_iter().filter(|(of, ..)| *of == family) {
                    let mut labels =
                        vec![("run", fault.run.as_str()), ("target", target), (family.label, which)];
                    labels.extend(port.as_deref().map(|port| ("port", port)));
                    sample(&mut text, &whole, &labels, value);
                }
            }
        }
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string can't fail.
    let _written = writeln!(text, "# TYPE httpfault_{name} {kind}\n# HELP httpfault_{name} {help}");
}

fn sample(text: &mut String, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels: Vec<String> =
        labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
    let _written = writeln!(text, "httpfault_{name}{{{}}} {value}", labels.join(","));
}

// === impl Measured ===

impl Measured {
    /// Every fault of a host, and the one that is over where one was asked for.
    pub fn of_host(report: &StatusReport) -> Vec<Self> {
        report.faults.iter().map(Self::of).chain(report.ended.as_deref().map(Self::ended)).collect()
    }

    fn of(fault: &FaultStatus) -> Self {
        Self {
            run: fault.experiment_id.to_string(),
            port: Some(fault.port),
            status_code: Some(fault.status_code),
            active: fault.phase == Phase::On,
            armed: fault.injected_at,
            disarmed: None,
            targets: fault.targets.iter().map(|one| (one.target.clone(), one.counters.clone())).collect(),
        }
    }

    fn ended(removed: &Removed) -> Self {
        Self {
            run: removed.experiment_id.to_string(),
            port: None,
            status_code: None,
            active: false,
            armed: removed.injected_at,
            disarmed: Some(removed.removed_at),
            targets: removed.targets.iter().map(|one| (one.target.clone(), one.counters.clone())).collect(),
        }
    }
}
