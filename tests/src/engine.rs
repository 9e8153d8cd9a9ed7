//! The Docker engine that all test processes share, and "the container instance" around it.
//!
//! `fixture-engine` (src/bin) runs it in a network namespace made for it, so its bridge and NAT rules meet neither
//! the machine's nor another engine's, and in a mount namespace with a pure cgroup v2 tree. Whoever uses it holds a
//! connection to its control socket; when the last one is gone, also by SIGKILL, it removes everything and ends.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix::{net::UnixStream, process::CommandExt},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{command::built, machine, netns::Namespace};

/// Name of the network namespace that plays the container instance.
pub const NAMESPACE: &str = "httpfault-instance";
/// What the engine says on standard output when it can be used.
pub const READY: &str = "ready";
/// The lock that is held while the engine is started or stopped.
pub const LOCK: &str = "engine.lock";

/// Where the engine keeps its files.
#[derive(Clone, Debug)]
pub struct Files {
    directory: PathBuf,
}

impl Files {
    pub fn locate() -> Result<Self> {
        Ok(Self { directory: machine::directory()?.join("engine") })
    }

    pub fn directory(&self) -> PathBuf {
        self.directory.clone()
    }

    /// Docker's API.
    pub fn docker_socket(&self) -> PathBuf {
        self.directory.join("docker.sock")
    }

    /// Users of the engine connect here and stay connected.
    pub fn control_socket(&self) -> PathBuf {
        self.directory.join("control.sock")
    }

    /// Has dockerd's process id.
    pub fn pid(&self) -> PathBuf {
        self.directory.join("dockerd.pid")
    }

    pub fn log(&self) -> PathBuf {
        self.directory.join("dockerd.log")
    }
}

/// A use of the running engine: it stays until this is dropped.
#[derive(Debug)]
pub struct Engine {
    files: Files,
    _use: UnixStream,
}

impl Engine {
    /// Joins the running engine or starts it.
    pub fn join() -> Result<Self> {
        let files = Files::locate()?;
        let lock = machine::locked(LOCK)?;
        if let Ok(connection) = UnixStream::connect(files.control_socket()) {
            return Ok(Self { files, _use: connection });
        }
        start(&files)?;
        let connection =
            UnixStream::connect(files.control_socket()).context("connecting to fixture-engine")?;
        drop::<File>(lock);
        Ok(Self { files, _use: connection })
    }

    /// The network namespace of the container instance.
    pub fn namespace(&self) -> Namespace {
        Namespace::at(PathBuf::from("/run/netns").join(NAMESPACE))
    }

    pub fn docker_socket(&self) -> PathBuf {
        self.files.docker_socket()
    }

    /// A program that will run in the engine's mount namespace.
    pub fn beside(&self, program: &str) -> Result<Command> {
        let pid = fs::read_to_string(self.files.pid()).context("reading dockerd's process id")?;
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", pid.trim(), "--", program]);
        Ok(command)
    }

    /// The `docker` command line for this engine.
    pub fn docker(&self) -> Command {
        let mut docker = Command::new("docker");
        docker.arg("--host").arg(format!("unix://{}", self.files.docker_socket().display()));
        docker
    }
}

/// Starts `fixture-engine` and waits until it is ready; it outlives this process.
fn start(files: &Files) -> Result<()> {
    let mut command = Command::new(built("fixture-engine")?);
    // In a process group of its own, so that Ctrl-C at the terminal leaves it the time to clean up.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().context("starting fixture-engine")?;
    let stdout = child.stdout.take().context("fixture-engine has no standard output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).context("waiting for fixture-engine")?;
    if line.trim() != READY {
        let log = fs::read_to_string(files.log()).unwrap_or_default();
        bail!("the Docker engine did not start; see the messages above and its log:\n{log}");
    }
    Ok(())
}
