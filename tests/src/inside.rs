//! Clients inside a task: `fixture-client` in whatever namespace and cgroup the given command runs it.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::command::output;

/// What the client saw; `broken` is set when there was no response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// The other side of its connection, as `getpeername` told it.
    pub peer: Option<SocketAddr>,
    pub status: u16,
    /// The experiment that injected the response.
    pub marker: Option<String>,
    /// Whether the application answered.
    pub real: bool,
    pub body: String,
    pub broken: Option<String>,
}

/// One request on a new connection. `client` starts `fixture-client`, without arguments yet.
pub fn ask(mut client: Command, to: SocketAddr) -> Result<Seen> {
    let line = output(client.arg(to.to_string()))?;
    serde_json::from_str(&line).with_context(|| format!("reading what fixture-client said: {line}"))
}

/// A client that keeps its connection.
#[derive(Debug)]
pub struct Kept {
    child: Child,
    asks: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Kept {
    /// Connects and sends the first request, whose answer it returns.
    pub fn open(mut client: Command, to: SocketAddr) -> Result<(Self, Seen)> {
        client.arg(to.to_string()).arg("--keep").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = client.spawn().context("starting fixture-client")?;
        let asks = child.stdin.take().context("fixture-client has no standard input")?;
        let answers =
            BufReader::new(child.stdout.take().context("fixture-client has no standard output")?).lines();
        let mut kept = Self { child, asks, answers };
        let first = kept.answer()?;
        Ok((kept, first))
    }

    /// Another request on the same connection.
    pub fn again(&mut self) -> Result<Seen> {
        writeln!(self.asks).context("asking fixture-client for another request")?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Seen> {
        let line = self.answers.next().context("fixture-client ended")??;
        serde_json::from_str(&line).with_context(|| format!("reading what fixture-client said: {line}"))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("ending fixture-client: {error}");
        }
    }
}
