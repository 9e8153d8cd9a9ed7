//! The real agent: started, listened to, signalled, waited for.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use httpfault_common::contract::{
    CheckReport, Event, FaultStatus, Injected, RemoveReport, Removed, StatusReport, TargetReport,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use procfs::process::FDTarget;

use crate::{
    command::{Said, build_directory, said},
    docker::Instance,
    netns::Namespace,
    wait,
};

/// How long the agent may take to inject or to refuse: a fraction of a second with a target on an idle machine, more with
/// a hundred on one that is busy.
const EVENT: Duration = Duration::from_secs(120);
/// How long it may take to end after its deadline or a signal: the responder's drain is bounded below this.
const END: Duration = Duration::from_secs(45);

/// The agent to test: `$HTTPFAULT_AGENT`, or the one that was built next to the tests.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("HTTPFAULT_AGENT") {
        return Ok(path.into());
    }
    let path = build_directory()?.join("httpfault-agent");
    if !path.exists() {
        bail!("{} does not exist; build it with: cargo build -p httpfault-agent", path.display());
    }
    Ok(path)
}

/// The agent's command line, on the machine itself.
pub fn agent<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command.args(args);
    Ok(command)
}

/// The agent's command line on a container instance.
pub fn agent_on<I, S>(instance: &Instance, args: I) -> Result<Command>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = agent_in(&instance.namespace(), args)?;
    command.arg("--docker-socket").arg(instance.docker_socket());
    Ok(command)
}

/// The agent's command line in a network namespace.
pub fn agent_in<I, S>(namespace: &Namespace, args: I) -> Result<Command>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = namespace.command(binary()?);
    command.args(args);
    Ok(command)
}

/// An experiment id that no other test has.
pub fn experiment(label: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    format!("{label}-{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed))
}

/// Arguments of a run whose events are JSON lines. `target` is a flag and its value; a flag in `more` overrides
/// nothing here, so it must not repeat one.
pub fn run_args(target: [&str; 2], experiment: &str, more: &[&str]) -> Vec<String> {
    let always = ["run", "--output", "json", target[0], target[1], "--experiment-id", experiment];
    always.iter().chain(more).map(|&arg| arg.to_owned()).collect()
}

/// A running agent. Dropping it ends it, first with SIGTERM.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
    stderr: Arc<Mutex<String>>,
}

/// An agent that ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    /// All it printed, line by line.
    pub lines: Vec<String>,
    pub stderr: String,
}

// === impl Agent ===

impl Agent {
    /// Starts a `run` whose events are JSON lines.
    pub fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let stdout = child.stdout.take().context("the agent has no standard output")?;
        let mut errors = child.stderr.take().context("the agent has no standard error")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            let mut read = BufReader::new(stdout).lines().map_while(Result::ok);
            read.try_for_each(|line| sender.send(line))
        });
        let stderr = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&stderr);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = errors.read(&mut piece) {
                let text = String::from_utf8_lossy(&piece[..count]);
                kept.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        Ok(Self { child, lines, said: Vec::new(), stderr })
    }

    /// Starts a `run` and waits until the fault is on.
    pub fn inject(command: Command) -> Result<(Self, Injected)> {
        let mut agent = Self::start(command)?;
        let injected = agent.injected()?;
        Ok((agent, injected))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The last line it printed.
    pub fn said(&self) -> &str {
        self.said.last().map_or("", String::as_str)
    }

    /// The next event.
    pub fn event(&mut self) -> Result<Event> {
        match self.lines.recv_timeout(EVENT) {
            Ok(line) => {
                self.said.push(line.clone());
                serde_json::from_str(&line).with_context(|| format!("not an event: {line}"))
            }
            Err(RecvTimeoutError::Timeout) => bail!("no event within {EVENT:?}; stderr:\n{}", self.stderr()),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait()?;
                bail!("the agent ended with {status} after {:?}; stderr:\n{}", self.said, self.stderr())
            }
        }
    }

    pub fn injected(&mut self) -> Result<Injected> {
        match self.event()? {
            Event::Injected(injected) => Ok(injected),
            other @ (Event::Removed(_) | Event::Refused(_) | Event::AlreadyRunning(_)) => {
                bail!("expected `injected`, got {other:?}; stderr:\n{}", self.stderr())
            }
        }
    }

    /// The process that looks after existing connections and outlives the agent.
    pub fn keeper(&self) -> Result<Pid> {
        self.child_called("httpfault-keepe")
    }

    /// The process that answers requests.
    pub fn responder(&self) -> Result<Pid> {
        self.child_called("httpfault-http")
    }

    fn child_called(&self, name: &str) -> Result<Pid> {
        let called = |pid: &Pid| {
            let process = procfs::process::Process::new(pid.as_raw());
            process.and_then(|process| process.stat()).is_ok_and(|stat| stat.comm == name)
        };
        self.children()?.into_iter().find(called).with_context(|| format!("the agent has no {name}"))
    }

    /// The agent's child processes: its keeper and its responder.
    pub fn children(&self) -> Result<Vec<Pid>> {
        let all = procfs::process::all_processes().context("listing processes")?;
        let parent = self.pid().cast_signed();
        let child = |process: &procfs::process::Process| process.stat().is_ok_and(|stat| stat.ppid == parent);
        Ok(all.flatten().filter(child).map(|process| Pid::from_raw(process.pid)).collect())
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, signal).with_context(|| format!("sending {signal} to the agent"))
    }

    /// Waits for the end and returns all that was said.
    pub fn ended(mut self) -> Result<Ended> {
        let start = Instant::now();
        loop {
            let wait = if self.child.try_wait()?.is_some() { Duration::from_millis(200) } else { END };
            match self.lines.recv_timeout(wait) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Timeout) if start.elapsed() < END && wait == END => {}
                Err(_) => break,
            }
        }
        wait::until("the agent to end", END, || Ok(self.child.try_wait()?.is_some()))
            .with_context(|| format!("it said {:?}; stderr:\n{}", self.said, self.stderr()))?;
        let status = self.child.wait()?;
        Ok(Ended { status, lines: std::mem::take(&mut self.said), stderr: self.stderr() })
    }

    /// SIGTERM, then [`Agent::ended`].
    pub fn terminate(self) -> Result<Ended> {
        self.signal(Signal::SIGTERM)?;
        self.ended()
    }

    fn stderr(&self) -> String {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let pid = Pid::from_raw(self.child.id().cast_signed());
        // A stopped process takes no SIGTERM.
        let asked = kill(pid, Signal::SIGCONT).and_then(|()| kill(pid, Signal::SIGTERM));
        let gone =
            wait::until("the agent to end", Duration::from_secs(10), || Ok(self.child.try_wait()?.is_some()));
        if asked.is_err() || gone.is_err() {
            eprintln!("the agent did not end on SIGTERM; killing it");
            let killed = self.child.kill().and_then(|()| self.child.wait());
            drop(killed);
        }
    }
}

// === impl Ended ===

impl Ended {
    /// The exit code; an agent killed by a signal has none.
    pub fn code(&self) -> Result<i32> {
        let signal = self.status.signal();
        self.status.code().with_context(|| format!("killed by signal {signal:?}; stderr:\n{}", self.stderr))
    }

    pub fn events(&self) -> Result<Vec<Event>> {
        let events = self.lines.iter().map(|line| serde_json::from_str(line));
        events.collect::<Result<_, _>>().with_context(|| format!("reading events from {:?}", self.lines))
    }

    pub fn removed(&self) -> Result<Removed> {
        match self.events()?.pop() {
            Some(Event::Removed(removed)) => Ok(removed),
            other => bail!("expected `removed` last, got {other:?}; stderr:\n{}", self.stderr),
        }
    }

    /// The report of the only target.
    pub fn target(&self) -> Result<TargetReport> {
        let mut targets = self.removed()?.targets;
        match (targets.pop(), targets.is_empty()) {
            (Some(target), true) => Ok(target),
            other => bail!("expected one target, got {other:?}"),
        }
    }

    pub fn refused(&self) -> Result<CheckReport> {
        match self.events()?.pop() {
            Some(Event::Refused(report)) => Ok(report),
            other => bail!("expected `refused`, got {other:?}; stderr:\n{}", self.stderr),
        }
    }

    pub fn already_running(&self) -> Result<FaultStatus> {
        match self.events()?.pop() {
            Some(Event::AlreadyRunning(status)) => Ok(status),
            other => bail!("expected `already_running`, got {other:?}; stderr:\n{}", self.stderr),
        }
    }
}

/// `httpfault-agent status`.
pub fn status() -> Result<StatusReport> {
    report(&said(&mut agent(["status", "--output", "json"])?)?)
}

/// The status of one experiment, if the host knows it.
pub fn status_of(experiment: &str) -> Result<Option<FaultStatus>> {
    Ok(status()?.faults.into_iter().find(|fault| fault.experiment_id.as_str() == experiment))
}

/// `httpfault-agent remove`, with its exit code.
pub fn remove(args: &[&str]) -> Result<(Option<i32>, RemoveReport)> {
    let said = said(agent(["remove", "--output", "json"])?.args(args))?;
    Ok((said.status.code(), report(&said)?))
}

/// A `httpfault-agent remove` that has not ended yet.
#[derive(Debug)]
pub struct Removing(Child);

impl Removing {
    pub fn start(experiment: &str) -> Result<Self> {
        let mut command = agent(["remove", "--output", "json", "--experiment-id", experiment])?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Self(command.spawn().with_context(|| format!("starting {command:?}"))?))
    }

    /// Waits until it has the agent's process in hand, by a pidfd.
    pub fn await_its_hold_on_the_agent(&self) -> Result<()> {
        let process = procfs::process::Process::new(i32::try_from(self.0.id())?)?;
        let is_pidfd = |target: &FDTarget| matches!(target, FDTarget::AnonInode(kind) if kind == "[pidfd]");
        wait::until("remove to hold the agent's process", EVENT, || {
            Ok(process.fd()?.filter_map(Result::ok).any(|held| is_pidfd(&held.target)))
        })?;
        Ok(())
    }

    pub fn ended(self) -> Result<(Option<i32>, RemoveReport)> {
        let Output { status, stdout, stderr } = self.0.wait_with_output()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let said = Said { status, stdout: text(stdout), stderr: text(stderr) };
        Ok((said.status.code(), report(&said)?))
    }
}

fn report<T: serde::de::DeserializeOwned>(said: &Said) -> Result<T> {
    serde_json::from_str(said.stdout.trim()).with_context(|| format!("reading a report from {said:?}"))
}
