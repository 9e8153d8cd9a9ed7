//! A [moto](https://github.com/getmoto/moto) server: an independent simulator of AWS, as a second opinion on how requests
//! are written and signed. Use it for ECS and STS only. Its gaps (moto 5.2.5): containers have no runtimeId and are
//! always PENDING, ListTasks ignores serviceName, there is no pagination and no `ecs.cpu-architecture`; its SSM runs
//! nothing, succeeds at once, and lacks CancelCommand, ListCommandInvocations and DescribeInstanceInformation.

use std::fmt;
use std::io::{self, BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::debug_chain;
use crate::python::{Python, PythonError};

const REGION: &str = "eu-central-1";

/// A running moto server. Dropping it ends it.
#[derive(Debug)]
pub struct Moto {
    python: Python,
    server: Child,
    endpoint: String,
}

/// What [`Moto::create_cluster`] made.
#[derive(Clone, Debug, Deserialize)]
pub struct MotoCluster {
    /// ARN.
    pub cluster_arn: String,
    /// EC2 instances.
    pub instance_ids: Vec<String>,
    /// Their registrations in the cluster.
    pub container_instance_arns: Vec<String>,
    /// Tasks of the family `web`.
    pub task_arns: Vec<String>,
}

/// Why there is no moto server or cluster.
#[derive(Error)]
#[non_exhaustive]
pub enum MotoError {
    /// Python or its packages are missing.
    #[error(transparent)]
    Python(#[from] PythonError),
    /// A script of the simulator could not be run.
    #[error("running {script}")]
    Run {
        /// Name of the script.
        script: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// It ran and failed, or printed something else than announced.
    #[error("{script} did not do its work:\n{output}")]
    Failed {
        /// Name of the script.
        script: &'static str,
        /// What it wrote.
        output: String,
    },
}

#[derive(Deserialize)]
struct Announcement {
    endpoint: String,
}

impl Moto {
    /// Starts a server on a free loopback port and keeps its tasks from changing by themselves.
    pub fn start() -> Result<Self, MotoError> {
        const SCRIPT: &str = "moto_server.py";
        let python = Python::with_packages()?;
        let run = |source| MotoError::Run { script: SCRIPT, source };
        let mut command = python.command();
        command.arg("-c").arg(include_str!("../python/moto_server.py"));
        // The open pipe keeps the server alive: it ends with this process, however that ends.
        let server = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(run)?;
        let mut moto = Moto { python, server, endpoint: String::new() };
        let mut line = String::new();
        if let Some(output) = moto.server.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(run)?;
        }
        moto.endpoint = parse::<Announcement>(SCRIPT, &line)?.endpoint;
        Ok(moto)
    }

    /// For `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Environment of a program that is to talk to this server.
    pub fn env(&self) -> Vec<(String, String)> {
        let pairs = [
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "testing"),
            ("AWS_SECRET_ACCESS_KEY", "testing"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// A cluster with registered instances and running EC2 tasks.
    pub fn create_cluster(
        &self,
        name: &str,
        hosts: usize,
        tasks_per_host: usize,
    ) -> Result<MotoCluster, MotoError> {
        const SCRIPT: &str = "moto_world.py";
        let wanted = serde_json::json!({ "cluster": name, "hosts": hosts, "tasks_per_host": tasks_per_host });
        let mut command = self.python.command();
        command
            .arg("-c")
            .arg(include_str!("../python/moto_world.py"))
            .arg(wanted.to_string())
            .envs(self.env());
        let output = output(SCRIPT, &mut command)?;
        parse(SCRIPT, &output)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It ends by itself when its standard input is closed, and at once when killed.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn output(script: &'static str, command: &mut Command) -> Result<String, MotoError> {
    let output = command.output().map_err(|source| MotoError::Run { script, source })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(MotoError::Failed { script, output: text(&output.stderr) }),
    }
}

fn parse<T: DeserializeOwned>(script: &'static str, output: &str) -> Result<T, MotoError> {
    serde_json::from_str(output).map_err(|_problem| MotoError::Failed { script, output: output.to_owned() })
}

impl fmt::Debug for MotoError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_chain(self, formatter)
    }
}
