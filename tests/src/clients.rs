//! Real HTTP clients that keep their connections: each request's outcome, as the client itself sees it.

mod calls;
mod report;

use std::{
    collections::BTreeMap,
    fmt,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, ChildStdin, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
pub use calls::Caller;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use report::Line;

use crate::{
    load::{Outcome, Sample, Tally},
    netns::Namespace,
    servers::{Program, Protocol, java_classes, node_modules, source},
    wait,
};

/// How long clients run that are not told to stop.
const FOREVER: &str = "3600";
/// How long to wait for a client's answers. Each gives a request up after 10 s.
const MORE: Duration = Duration::from_secs(15);
/// How long a client may take to end.
const ENDS: Duration = Duration::from_secs(60);

/// A client program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Client {
    Curl,
    Wrk,
    H2load,
    Requests,
    Httpx,
    HttpxH2,
    Undici,
    Java,
    Grpc,
}

/// What a client does until it is stopped.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    pub to: SocketAddr,
    /// For gRPC the method and its message: `Slow/100`.
    pub path: &'a str,
    pub connections: usize,
    /// Between two requests; wrk and h2load have none.
    pub pause: Duration,
}

/// A running client.
#[derive(Debug)]
pub struct Running {
    client: Client,
    child: Child,
    /// Its end ends the client.
    input: Option<ChildStdin>,
    seen: Arc<Mutex<Seen>>,
    /// Returns what the client said besides.
    readers: Option<(JoinHandle<()>, JoinHandle<String>)>,
}

/// What clients said of requests that were lost, and how often.
pub type Remarks = BTreeMap<String, usize>;

/// What a client told.
#[derive(Debug, Default)]
struct Seen {
    samples: Vec<Sample>,
    /// Reasons of what was lost, each with how often.
    remarks: Remarks,
}

impl Client {
    pub const ALL: [Self; 9] = [
        Self::Curl,
        Self::Wrk,
        Self::H2load,
        Self::Requests,
        Self::Httpx,
        Self::HttpxH2,
        Self::Undici,
        Self::Java,
        Self::Grpc,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Curl => "curl",
            Self::Wrk => "wrk",
            Self::H2load => "h2load",
            Self::Requests => "requests",
            Self::Httpx => "httpx",
            Self::HttpxH2 => "httpx h2",
            Self::Undici => "undici",
            Self::Java => "Java HttpClient",
            Self::Grpc => "grpcio",
        }
    }

    pub fn protocol(self) -> Protocol {
        match self {
            Self::H2load | Self::HttpxH2 => Protocol::Http2,
            Self::Grpc => Protocol::Grpc,
            Self::Curl | Self::Wrk | Self::Requests | Self::Httpx | Self::Undici | Self::Java => {
                Protocol::Http1
            }
        }
    }

    /// Starts it in `namespace`; installs what it needs, unless that was done before.
    pub fn start(self, namespace: &Namespace, task: Task<'_>) -> Result<Running> {
        let mut command = self.program(task)?.as_client(namespace);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {self}"))?;
        let input = child.stdin.take();
        let stdout: Box<dyn Read + Send> = Box::new(child.stdout.take().context("no standard output")?);
        let stderr: Box<dyn Read + Send> = Box::new(child.stderr.take().context("no standard error")?);
        let (lines, rest) = if self.tells_on_stderr() { (stderr, stdout) } else { (stdout, stderr) };
        let seen = Arc::default();
        let told = Arc::clone(&seen);
        let readers = (
            thread::spawn(move || listen(self, lines, &told)),
            thread::spawn(move || std::io::read_to_string(rest).unwrap_or_default()),
        );
        Ok(Running { client: self, child, input, seen, readers: Some(readers) })
    }

    fn program(self, task: Task<'_>) -> Result<Program> {
        let Task { to, path, connections, pause } = task;
        let url = format!("http://{to}/{path}");
        let (connections, pause) = (connections.to_string(), pause.as_millis().to_string());
        let loop_args = [&url, &connections, &pause].map(String::as_str);
        let python = |name: &str, args: &[&str]| Program::python(&format!("clients/python/{name}"), args);
        Ok(match self {
            Self::Curl => curl(&url, task.pause),
            Self::Wrk => {
                let wrk = Program::new("wrk").args(&["-t", "1", "-c", &connections, "-d", FOREVER, "-s"]);
                wrk.arg(source("clients/wrk.lua")).args(&["--timeout", "10s", &url])
            }
            Self::H2load => {
                let one_stream = ["-t", "1", "-c", &connections, "-m", "1", "-D", FOREVER];
                Program::new("h2load").args(&one_stream).args(&["--log-file=/dev/stdout", &url])
            }
            Self::Requests | Self::Httpx | Self::HttpxH2 => {
                let library = self.name().replace(' ', "-");
                python("http_client.py", &[&[library.as_str()], &loop_args[..]].concat())?
            }
            Self::Undici => {
                let modules = node_modules()?.join("node_modules");
                let node = Program::new("node").env("NODE_PATH", modules);
                node.arg(source("clients/js/client.js")).args(&loop_args)
            }
            Self::Java => {
                let java = Program::new("java").args(&["-Xmx128m", "-cp"]).arg(java_classes()?);
                java.args(&["Client"]).args(&loop_args)
            }
            Self::Grpc => {
                let (method, message) = path.split_once('/').unwrap_or((path, ""));
                let message = message.replace('/', " ");
                python("grpc_client.py", &[&to.to_string(), method, &message, &connections, &pause])?
            }
        })
    }

    /// Where it tells each request's outcome. The other one is not buffered by the line.
    fn tells_on_stderr(self) -> bool {
        matches!(self, Self::Curl | Self::Wrk)
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One connection: curl has no more without a pool that it empties at once.
fn curl(url: &str, pause: Duration) -> Program {
    let told = format!("%{{stderr}}{}\n", report::CURL);
    let curl = Program::new("curl").args(&["--silent", "--http1.1", "--max-time", "10"]);
    let curl = curl.args(&["--output", "/dev/null", "--write-out", &told]);
    let per_minute = 60_000_u128.checked_div(pause.as_millis());
    let curl = match per_minute {
        Some(rate) => curl.args(&["--rate", &format!("{rate}/m")]),
        None => curl,
    };
    // As many requests as it can do; the numbers only make it ask again.
    curl.args(&[&format!("{}?[1-100000000]", url.replace('[', "\\[").replace(']', "\\]"))])
}

fn listen(client: Client, lines: impl Read, seen: &Mutex<Seen>) {
    for line in BufReader::new(lines).lines().map_while(Result::ok) {
        let Some(Line { outcome, remark }) = report::read(client, &line) else { continue };
        let now = Instant::now();
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.samples.push(Sample { sent: now, ended: now, outcome });
        if let Some(remark) = remark {
            *seen.remarks.entry(remark).or_default() += 1;
        }
    }
}

// === impl Running ===

impl Running {
    /// Waits until `count` more answers with that outcome were told.
    pub fn await_more(&self, outcome: Outcome, count: usize) -> Result<Duration> {
        let goal = self.count(outcome) + count;
        let what = format!("{count} more times {outcome:?} from {}", self.client);
        wait::until(&what, MORE, || Ok(self.count(outcome) >= goal))
            .with_context(|| format!("{:?}", self.seen().remarks))
    }

    pub fn count(&self, outcome: Outcome) -> usize {
        self.seen().samples.iter().filter(|sample| sample.outcome == outcome).count()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the client and returns what it told, with the reasons of what was lost.
    pub fn stop(mut self) -> Result<(Tally, Remarks)> {
        drop(self.input.take());
        let pid = Pid::from_raw(self.child.id().cast_signed());
        // wrk tells its errors when it is interrupted; the others need it, or have ended by themselves.
        if matches!(self.client, Client::Wrk | Client::H2load | Client::Curl) {
            kill(pid, Signal::SIGINT).with_context(|| format!("interrupting {}", self.client))?;
        }
        wait::until(&format!("{} to end", self.client), ENDS, || Ok(self.child.try_wait()?.is_some()))?;
        let (lines, rest) = self.readers.take().context("a client is stopped once")?;
        lines.join().map_err(|panic| anyhow!("reading what {} told: {panic:?}", self.client))?;
        let rest = rest.join().map_err(|panic| anyhow!("reading what {} said: {panic:?}", self.client))?;
        let Seen { mut samples, remarks } = std::mem::take(&mut *self.seen());
        samples.extend(report::at_end(self.client, &rest, Instant::now()));
        Ok((Tally { samples }, remarks))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let ended = self.child.kill().and_then(|()| self.child.wait());
            drop(ended);
        }
    }
}
