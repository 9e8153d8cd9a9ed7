//! The real agent: started, listened to, signalled, waited for.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use httpfault_common::contract::{Event, Removed};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::de::DeserializeOwned;

use crate::{site::Site, wait};

/// An emulated machine is slow; on a real one this is a fraction of a second.
const EVENT: Duration = Duration::from_secs(40);
const END: Duration = Duration::from_secs(40);

/// A running `run`, ended when dropped.
#[derive(Debug)]
pub(crate) struct Agent {
    child: Child,
    events: Receiver<Event>,
    stderr: Option<JoinHandle<String>>,
}

impl Agent {
    /// Starts `run` on the site's application.
    pub(crate) fn start(site: &Site, experiment: &str, more: &[&str]) -> Result<Self> {
        let pid = site.target_pid().to_string();
        let mut command = Command::new(&site.agent);
        command.args(["run", "--output", "json", "--pid", &pid, "--experiment-id", experiment]).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting the agent")?;
        let stdout = child.stdout.take().context("the agent has no output")?;
        let stderr = child.stderr.take().context("the agent has no error output")?;
        let (sender, events) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                match serde_json::from_str(&line) {
                    // Whoever listened has gone with the agent.
                    Ok(event) => drop(sender.send(event)),
                    Err(why) => eprintln!("the agent said {line:?}: {why}"),
                }
            }
        });
        Ok(Self { child, events, stderr: Some(thread::spawn(|| all_of(stderr))) })
    }

    /// Starts `run` and waits until the fault is on.
    pub(crate) fn inject(site: &Site, experiment: &str, more: &[&str]) -> Result<Self> {
        let mut agent = Self::start(site, experiment, more)?;
        match agent.event()? {
            Event::Injected(_) => Ok(agent),
            other @ (Event::Removed(_) | Event::Refused(_) | Event::AlreadyRunning(_)) => {
                bail!("the agent said {other:?} instead of injected; {}", agent.last_words())
            }
        }
    }

    /// The next event.
    pub(crate) fn event(&mut self) -> Result<Event> {
        self.events.recv_timeout(EVENT).map_err(|_silent| {
            anyhow::anyhow!("the agent told no event within {} s; {}", EVENT.as_secs(), self.last_words())
        })
    }

    pub(crate) fn pid(&self) -> Result<i32> {
        Ok(i32::try_from(self.child.id())?)
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.pid()?), signal).with_context(|| format!("sending {signal} to the agent"))
    }

    /// Waits for the process's end.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        wait::until("the agent to end", END, || Ok(self.child.try_wait()?.is_some()))?;
        Ok(self.child.wait()?)
    }

    /// Waits for its last report and its exit code.
    pub(crate) fn ended(&mut self) -> Result<(Removed, i32)> {
        let removed = match self.event()? {
            Event::Removed(removed) => removed,
            other @ (Event::Injected(_) | Event::Refused(_) | Event::AlreadyRunning(_)) => {
                bail!("the agent said {other:?} instead of removed")
            }
        };
        let code = self.wait()?.code().context("the agent was killed")?;
        ensure!(removed.left_behind.is_empty(), "left behind: {:?}", removed.left_behind);
        Ok((removed, code))
    }

    /// Ends the agent if it still runs, and tells what it wrote to its error output.
    fn last_words(&mut self) -> String {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
        let said = self.stderr.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        format!("stderr: {}", said.trim())
    }

    fn end(&mut self) {
        // One that was stopped takes no SIGTERM.
        let asked = self.signal(Signal::SIGCONT).and_then(|()| self.signal(Signal::SIGTERM));
        if let Err(why) = asked.and_then(|()| self.wait()) {
            eprintln!("the agent did not end on SIGTERM ({why:#}); killing it");
            drop(self.child.kill().and_then(|()| self.child.wait()));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

/// A command that reports once, such as `status`; its exit code comes with the report.
pub(crate) fn ask<T: DeserializeOwned>(site: &Site, args: &[&str]) -> Result<(T, i32)> {
    let output = Command::new(&site.agent)
        .args(args)
        .args(["--output", "json"])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting the agent's {args:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("reading the report of {args:?}; stderr: {}", said.trim()))?;
    Ok((report, output.status.code().context("the agent was killed")?))
}

fn all_of(mut stderr: ChildStderr) -> String {
    let mut all = Vec::new();
    // What was read before an error is what there is to show.
    let _complete = stderr.read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}
