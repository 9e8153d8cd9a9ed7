//! Clients under way, ours or others', and what they counted.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::Result;
use httpfault_tests::{
    clients::{Client, Remarks, Running, Task},
    load::{Load, Outcome, Plan, Request, Style, Tally},
    servers::{Protocol, Server},
    site::Site,
};

/// Between two requests of a client that pauses.
const THINKS: Duration = Duration::from_millis(40);
/// When our own client gives a request up, as the others do.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an answer takes that is under way when the fault starts.
const SLOW: &str = "Slow/300";
/// Ten chunks, 50 ms before each.
const STREAM: &str = "Stream/10/50";

/// Who asks, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// Our own client, which takes note of every single answer.
    Own {
        request: Request,
        pause: Duration,
    },
    Program {
        client: Client,
        path: &'static str,
    },
}

/// Under way.
pub(crate) enum Going {
    Own(Load),
    Program(Running),
}

impl Traffic {
    /// All that suit the server.
    pub(crate) fn with(server: Server) -> Vec<Self> {
        let own = |request, pause| Self::Own { request, pause };
        let mut all = Vec::new();
        if server.speaks(Protocol::Http1) {
            all.push(own(Request::Get("/"), Duration::ZERO));
            all.push(own(Request::Get("/"), THINKS));
            all.push(own(Request::SplitPost(1000), THINKS));
            all.push(own(Request::Get("/stream/10/30"), THINKS));
        }
        for client in Client::ALL.into_iter().filter(|client| server.speaks(client.protocol())) {
            let paths: &[_] = if client == Client::Grpc { &["Fast", SLOW, STREAM] } else { &[""] };
            all.extend(paths.iter().map(|path| Self::Program { client, path }));
        }
        all
    }

    pub(crate) fn start(self, site: &Site, connections: usize) -> Result<Going> {
        Ok(match self {
            Self::Own { request, pause } => {
                let plan = Plan::new(site.v4(), connections, Style::KeepAlive).and(site.v6());
                let plan = plan.request(request).pause(pause).patience(PATIENCE);
                Going::Own(Load::start(&site.client, plan))
            }
            Self::Program { client, path } => {
                let task = Task { to: site.v4(), path, connections, pause: THINKS };
                Going::Program(client.start(&site.client, task)?)
            }
        })
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own { request, pause } => {
                match request {
                    Request::Get("/") => f.write_str("GET"),
                    Request::Get(path) => write!(f, "GET {path}"),
                    Request::Post(_) => f.write_str("POST"),
                    Request::SplitPost(_) => f.write_str("POST in pieces"),
                }?;
                if pause.is_zero() { f.write_str(", closed loop") } else { write!(f, ", {pause:?} pauses") }
            }
            Self::Program { client, path: "" } => write!(f, "{client}"),
            Self::Program { client, path } => write!(f, "{client} {path}"),
        }
    }
}

impl Going {
    /// Waits until so many more answers of the application were seen.
    pub(crate) fn await_real(&self, count: usize) -> Result<Duration> {
        match self {
            Self::Own(load) => load.await_real(count),
            Self::Program(running) => running.await_more(Outcome::Real, count),
        }
    }

    pub(crate) fn stop(self) -> Result<(Tally, Remarks)> {
        match self {
            Self::Own(load) => {
                let tally = load.stop()?;
                let broken = |outcome: &Outcome| matches!(outcome, Outcome::Broken(_) | Outcome::Strange(_));
                let mut remarks = Remarks::new();
                let outcomes = tally.samples.iter().map(|sample| sample.outcome);
                for outcome in outcomes.filter(broken) {
                    *remarks.entry(format!("{outcome:?}")).or_default() += 1;
                }
                Ok((tally, remarks))
            }
            Self::Program(running) => running.stop(),
        }
    }
}

/// How long after `from` the last answer of the application came that ended before `until`.
pub(crate) fn last_real(tally: &Tally, from: Instant, until: Instant) -> Option<Duration> {
    let real = tally.samples.iter().filter(|sample| sample.outcome == Outcome::Real);
    let last = real.map(|sample| sample.ended).filter(|ended| (from..until).contains(ended)).max()?;
    Some(last.duration_since(from))
}
