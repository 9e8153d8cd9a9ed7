//! The real controller: started with nothing from the test's environment, signalled, waited for, its report read.

use std::{
    ffi::OsStr,
    fmt,
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{command::build_directory, wait};

/// Time between two looks of the controller, milliseconds. On AWS it is 5000.
const POLL_MS: &str = "100";
/// How long a host may take to answer, seconds.
const ANSWER_SECS: &str = "30";
/// How long a run may take to end.
const END: Duration = Duration::from_secs(120);

/// A command line to be.
#[derive(Debug)]
pub struct Ctl {
    command: Command,
    said: PathBuf,
    patience: Duration,
}

/// A controller that runs. Dropping it kills it, as a pod is killed: without a word.
#[derive(Debug)]
pub struct Running {
    child: Child,
    said: PathBuf,
    started: Instant,
    patience: Duration,
}

/// A controller that ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

// === impl Ctl ===

impl Ctl {
    /// A command of `$HTTPFAULT_CTL`, else of the one that was built next to the tests. What it says goes to files in
    /// `directory`.
    pub fn new(command: &str, directory: &Path) -> Result<Self> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let mut ctl = Command::new(binary()?);
        ctl.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", "/nonexistent");
        ctl.env("HTTPFAULT_POLL_MS", POLL_MS).env("HTTPFAULT_ANSWER_SECS", ANSWER_SECS);
        ctl.env("HTTPFAULT_OUTPUT", "json").arg(command).stdin(Stdio::null());
        let said = directory.join(format!("{command}-{}", SERIAL.fetch_add(1, Ordering::Relaxed)));
        Ok(Self { command: ctl, said, patience: END })
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    #[must_use]
    pub fn argument(mut self, word: &str) -> Self {
        self.command.arg(word);
        self
    }

    #[must_use]
    pub fn envs(mut self, all: Vec<(String, String)>) -> Self {
        self.command.envs(all);
        self
    }

    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// How long it may take.
    #[must_use]
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    pub fn start(mut self) -> Result<Running> {
        let file = |stream: &str| {
            let path = self.said.with_extension(stream);
            File::create(&path).with_context(|| format!("creating {}", path.display()))
        };
        self.command.stdout(file("stdout")?).stderr(file("stderr")?);
        let child = self.command.spawn().with_context(|| format!("starting {:?}", self.command))?;
        Ok(Running { child, said: self.said, started: Instant::now(), patience: self.patience })
    }

    /// Starts it and waits for its end.
    pub fn finish(self) -> Result<Ended> {
        self.start()?.ended()
    }
}

/// The controller to test.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("HTTPFAULT_CTL") {
        return Ok(path.into());
    }
    let path = build_directory()?.join("httpfault-ctl");
    if !path.exists() {
        bail!("{} does not exist; build it with: cargo build -p httpfault-ctl", path.display());
    }
    Ok(path)
}

// === impl Running ===

impl Running {
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, signal).with_context(|| format!("sending {signal} to httpfault-ctl"))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said so far on standard error.
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.said.with_extension("stderr")).unwrap_or_default()
    }

    /// Waits until it has said something on standard error.
    pub fn await_words(&mut self, words: &str) -> Result<()> {
        let patience = self.patience;
        let said = || Ok(self.stderr().contains(words) || self.is_over()?);
        let waited = wait::until(&format!("{words:?}"), patience, said);
        waited.with_context(|| self.stderr())?;
        ensure!(self.stderr().contains(words), "it ended and never said {words:?}:\n{}", self.stderr());
        Ok(())
    }

    pub fn is_over(&mut self) -> Result<bool> {
        Ok(self.child.try_wait().context("waiting for httpfault-ctl")?.is_some())
    }

    pub fn ended(mut self) -> Result<Ended> {
        let waited = wait::until("httpfault-ctl to end", self.patience, || self.is_over());
        waited.with_context(|| format!("it said:\n{}", self.stderr()))?;
        let status = self.child.wait()?;
        let stdout = fs::read_to_string(self.said.with_extension("stdout")).context("reading its output")?;
        Ok(Ended { status, stdout, stderr: self.stderr(), took: self.started.elapsed() })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let gone = self.child.kill().and_then(|()| self.child.wait());
        drop(gone);
    }
}

// === impl Ended ===

impl Ended {
    /// Expects an exit code.
    pub fn exits(self, code: i32) -> Result<Self> {
        ensure!(self.status.code() == Some(code), "expected exit code {code}: {self}");
        Ok(self)
    }

    /// Expects words on either stream.
    pub fn says(self, words: &str) -> Result<Self> {
        ensure!(self.stderr.contains(words) || self.stdout.contains(words), "expected {words:?}: {self}");
        Ok(self)
    }

    /// Its JSON.
    pub fn report(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("its output is no JSON: {self}"))
    }

    /// The record of a task in the report of `run`.
    pub fn task(&self, id: &str) -> Result<Value> {
        let report = self.report()?;
        let tasks =
            report["tasks"].as_array().with_context(|| format!("the report has no tasks: {report}"))?;
        let found = tasks.iter().find(|task| task["task"] == id).cloned();
        found.with_context(|| format!("the report has no task {id}: {report}"))
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, stdout, stderr, took } = self;
        let how = status
            .code()
            .map_or_else(|| format!("signal {:?}", status.signal()), |code| format!("exit code {code}"));
        write!(f, "{how} after {took:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}
