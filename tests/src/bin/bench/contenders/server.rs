//! A process in a cgroup of its own, on the servers' core.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use httpfault_tests::{agent::Agent, cgroup::Cgroup, netns::Namespace, wait};
use tempfile::TempDir;

use super::SERVER_CORE;

/// A child that ends when this is dropped. What it has started goes with its cgroup.
#[derive(Debug)]
pub(crate) struct Program(pub(crate) Child);

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Server {
    _process: Process,
    cgroup: Cgroup,
    _files: Option<TempDir>,
    /// Goes after what stands on it.
    _beside: Option<Box<Self>>,
}

#[derive(Debug)]
enum Process {
    Plain {
        _program: Program,
    },
    /// Dropping it ends it in order.
    Agent {
        _agent: Agent,
    },
}

impl Server {
    /// Starts a program in that namespace.
    pub(crate) fn start(label: &str, namespace: &Namespace, program: &Command) -> Result<Self> {
        let cgroup = Cgroup::create(label)?;
        let mut command = pinned(&cgroup, namespace, program);
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = child.with_context(|| format!("starting {command:?}"))?;
        Ok(Self {
            _process: Process::Plain { _program: Program(child) },
            cgroup,
            _files: None,
            _beside: None,
        })
    }

    /// Starts an agent on the machine itself, and waits until its fault is on.
    pub(crate) fn inject(label: &str, program: &Command) -> Result<Self> {
        let cgroup = Cgroup::create(label)?;
        let (agent, _) = Agent::inject(pinned(&cgroup, &Namespace::of(std::process::id()), program))?;
        Ok(Self { _process: Process::Agent { _agent: agent }, cgroup, _files: None, _beside: None })
    }

    pub(crate) fn keep(self, files: TempDir) -> Self {
        Self { _files: Some(files), ..self }
    }

    pub(crate) fn beside(self, other: Self) -> Self {
        Self { _beside: Some(Box::new(other)), ..self }
    }

    /// Waits until somebody listens there.
    pub(crate) fn listening(self, namespace: &Namespace, port: u16) -> Result<Self> {
        wait::until("the server to listen", Duration::from_secs(20), || namespace.listens(port))?;
        Ok(self)
    }

    pub(crate) fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let ended = self.0.kill().and_then(|()| self.0.wait());
        drop(ended);
    }
}

/// The program in that cgroup and namespace, on the servers' core.
pub(super) fn pinned(cgroup: &Cgroup, namespace: &Namespace, program: &Command) -> Command {
    let mut command = cgroup.command(namespace, "taskset");
    command.args(["-c", SERVER_CORE]).arg(program.get_program()).args(program.get_args());
    let variables = program.get_envs().filter_map(|(name, value)| Some((name, value?)));
    command.envs(variables);
    command
}
