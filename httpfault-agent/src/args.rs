//! What was typed. Only `RunSpec` and [`Sources`] go further.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use httpfault_common::contract::{
    ExistingConnections, ExperimentId, Fault, GrpcError, GrpcStatus, HeaderLine, Mistake, Mistakes,
    Replacement, RunSpec, Selection, TargetSelector, default,
};

/// Makes the HTTP service of chosen containers answer with a chosen status code, for a chosen time, then restores it.
#[derive(Debug, Parser)]
#[command(name = "httpfault-agent", version, about, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done and verified, 1 failed and nothing left behind, 2 partly done or no request \
was faulted, 3 something was left behind, 64 usage, 130 aborted by a signal and cleaned up.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Inject in the foreground until the deadline or a signal, then remove
    Run(Box<RunArgs>),
    /// The preflight of run; changes nothing
    Check(Box<RunArgs>),
    /// Faults on this host, with counters
    Status(StatusArgs),
    /// End faults from outside; works on damaged or stale state
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// ECS task, by id or ARN (repeatable)
    #[arg(long, value_name = "ID", group = "target")]
    task_id: Vec<String>,
    /// Container of the task, where several listen on the port
    #[arg(long, value_name = "NAME", requires = "task_id")]
    container_name: Option<String>,
    /// Docker container, by id or name (repeatable)
    #[arg(long, value_name = "ID-OR-NAME", group = "target")]
    container: Vec<String>,
    /// Process whose cgroup and network namespace are the target's (repeatable)
    #[arg(long, value_name = "N", group = "target")]
    pid: Vec<u32>,
    /// The whole run as base64 JSON, what httpfault-ctl sends; replaces every other option of the fault
    #[arg(long, value_name = "BASE64_JSON", group = "target", allow_hyphen_values = true)]
    spec: Option<String>,

    /// Names the run in reports, in status and remove, and in the marker header [default: generated]
    #[arg(long, value_name = "ID")]
    experiment_id: Option<ExperimentId>,
    /// Port that the target listens on (TARGET_SERVICE_PORT)
    #[arg(long, value_name = "PORT", default_value = default::PORT, value_parser = clap::value_parser!(u16))]
    port: u16,
    /// Port on loopback, inside the target's network namespace, where the responder listens (PROXY_PORT)
    #[arg(long, value_name = "PORT", default_value = default::PROXY_PORT)]
    proxy_port: u16,
    /// Addresses in scope: those of one interface, or `auto` for all (NETWORK_INTERFACE)
    #[arg(long, value_name = "NAME", default_value = default::NETWORK_INTERFACE)]
    interface: String,
    /// Final status of injected responses, 200 to 599
    #[arg(long, value_name = "CODE", default_value = default::STATUS_CODE)]
    status_code: u16,
    /// How long, seconds
    #[arg(long, value_name = "SECONDS", default_value = default::DURATION)]
    duration: u64,
    /// What becomes of connections that clients hold when the fault starts
    #[arg(long, value_enum, default_value = default::EXISTING_CONNECTIONS)]
    existing_connections: Existing,
    /// With `reset`: when the fault starts, not at their next request
    #[arg(long)]
    reset_at_once: bool,
    /// `false`: call the application and replace only its status
    #[arg(long, value_name = "BOOL", default_value = default::MODIFY_RESPONSE_BODY, action = clap::ArgAction::Set)]
    modify_response_body: bool,
    /// Body of injected responses [default: a text that names the code and httpfault]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    response_body: Option<String>,
    /// Media type of that body [default: text/plain, or JSON where the client prefers it]
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Status of faulted gRPC calls, 1 to 16 or its name [default: what gRPC clients make of the status code]
    #[arg(long, value_name = "STATUS")]
    grpc_status: Option<GrpcStatus>,
    /// Message of faulted gRPC calls [default: a text that names the code and httpfault]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    grpc_message: Option<String>,
    /// Header of injected responses (repeatable)
    #[arg(long, value_name = "NAME: VALUE")]
    response_header: Vec<HeaderLine>,
    /// Leave out the header `x-httpfault: <experiment id>`
    #[arg(long)]
    no_marker: bool,
    /// Share of the selected requests that is faulted, decided for each request
    #[arg(long, value_name = "P", default_value = default::PERCENT)]
    percent: f64,
    /// Seed of that decision [default: random]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Fault only requests whose path begins so (repeatable)
    #[arg(long, value_name = "PREFIX")]
    path: Vec<String>,
    /// Fault only requests with this method (repeatable)
    #[arg(long, value_name = "METHOD")]
    method: Vec<String>,
    /// Fault only requests with this header (repeatable, all must match)
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<HeaderLine>,
    /// Spare requests whose path begins so (repeatable)
    #[arg(long, value_name = "PREFIX")]
    exclude_path: Vec<String>,
    /// Spare requests whose User-Agent contains this, e.g. ELB-HealthChecker (repeatable)
    #[arg(long, value_name = "TEXT")]
    exclude_user_agent: Vec<String>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) sources: Sources,
}

/// Where targets are looked up.
#[derive(Clone, Debug, Args)]
pub(crate) struct Sources {
    /// ECS agent introspection API
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:51678", help_heading = "Sources")]
    pub(crate) ecs_introspection_url: String,
    /// ECS agent data, for container metadata files
    #[arg(long, value_name = "DIR", default_value = "/var/lib/ecs/data", help_heading = "Sources")]
    pub(crate) ecs_data_dir: PathBuf,
    /// Docker engine
    #[arg(long, value_name = "PATH", default_value = "/var/run/docker.sock", help_heading = "Sources")]
    pub(crate) docker_socket: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct OutputArgs {
    /// One JSON object a line, or text [default: text on a terminal, else json]
    #[arg(long, value_enum)]
    pub(crate) output: Option<OutputFormat>,
    /// Tell on stderr what is being done
    #[arg(long)]
    pub(crate) verbose: bool,
    /// Tell on stderr each connection that the kernel programs steer
    #[arg(long)]
    pub(crate) log_steering: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    Json,
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusFormat {
    Json,
    Text,
    /// OpenMetrics, which is Prometheus' text too
    Openmetrics,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Existing {
    /// Take where nothing was seen to be lost by it, so far nowhere, else drain
    Auto,
    /// Answer each HTTP/1 request on them in place, and give them back at the end; drain where that is not possible.
    /// Experimental: requests of clients that never pause can be lost
    Take,
    /// End each one in order between two requests; what is not HTTP is left alone
    Drain,
    /// Leave them alone and count what goes over them
    Keep,
    /// Reset each one at its next request, or at once (--reset-at-once)
    Reset,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Only this fault
    #[arg(long, value_name = "ID")]
    pub(crate) experiment_id: Option<ExperimentId>,
    /// One JSON object, text, or metrics [default: text on a terminal, else json]
    #[arg(long, value_enum)]
    pub(crate) output: Option<StatusFormat>,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The fault to end
    #[arg(long, value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) experiment_id: Option<ExperimentId>,
    /// End every fault on this host, and sweep up stale state
    #[arg(long)]
    pub(crate) all: bool,
    /// One JSON object, or text [default: text on a terminal, else json]
    #[arg(long, value_enum)]
    pub(crate) output: Option<OutputFormat>,
}

// === impl RunArgs ===

impl RunArgs {
    /// The checked spec of this run. The error lists every mistake.
    pub(crate) fn spec(&self) -> anyhow::Result<RunSpec> {
        let spec = match &self.spec {
            Some(encoded) => RunSpec::decode(encoded).context("reading --spec")?,
            None => self.typed_spec()?,
        };
        spec.check()?;
        Ok(spec)
    }

    fn typed_spec(&self) -> anyhow::Result<RunSpec> {
        let tasks = self
            .task_id
            .iter()
            .map(|id| TargetSelector::Task { id: id.clone(), container: self.container_name.clone() });
        let containers = self.container.iter().map(|id| TargetSelector::Container { id: id.clone() });
        let processes = self.pid.iter().map(|pid| TargetSelector::Pid { pid: *pid });
        let replaces_body = self.response_body.is_some() || self.content_type.is_some();
        if replaces_body && !self.modify_response_body {
            let allowed = "true, when --response-body or --content-type is given";
            return Err(Mistakes(vec![Mistake::new("modify-response-body", "false", allowed)]).into());
        }
        Ok(RunSpec {
            experiment_id: match &self.experiment_id {
                Some(id) => id.clone(),
                None => format!("hf-{:08x}", fastrand::u32(..)).parse()?,
            },
            targets: tasks.chain(containers).chain(processes).collect(),
            port: self.port,
            proxy_port: self.proxy_port,
            interface: self.interface.clone(),
            duration_secs: self.duration,
            existing_connections: match self.existing_connections {
                Existing::Auto => ExistingConnections::Auto,
                Existing::Take => ExistingConnections::Take,
                Existing::Drain => ExistingConnections::Drain,
                Existing::Keep => ExistingConnections::Keep,
                Existing::Reset => ExistingConnections::Reset,
            },
            reset_at_once: self.reset_at_once,
            fault: Fault {
                status: self.status_code,
                replacement: self.modify_response_body.then(|| Replacement {
                    body: self.response_body.clone(),
                    content_type: self.content_type.clone(),
                }),
                headers: self.response_header.clone(),
                marker: !self.no_marker,
                percent: self.percent,
                seed: self.seed,
                grpc: GrpcError { status: self.grpc_status, message: self.grpc_message.clone() },
                selection: Selection {
                    paths: self.path.clone(),
                    methods: self.method.clone(),
                    headers: self.header.clone(),
                    exclude_paths: self.exclude_path.clone(),
                    exclude_user_agents: self.exclude_user_agent.clone(),
                },
            },
        })
    }
}
