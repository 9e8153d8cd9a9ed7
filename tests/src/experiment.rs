//! Whole experiments: a simulated AWS account whose container instances are this machine, real containers as the ECS
//! tasks of a service, and the real `httpfault-ctl`, which brings the real agent to them and runs it there.
//!
//! Every simulated host lives in the network namespace of the [`Instance`] and has `/run/httpfault` and
//! `/var/lib/httpfault` for itself, so that two hosts beside each other are two hosts for the agent.

mod agent_file;
mod ctl;
mod download;
mod registry;
mod relay;
mod web;

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use httpfault_simulator::{
    Cluster, CommandView, ContainerInstance, ManagedInstance, Service, Simulator, Timing, World,
};
use nix::unistd::Pid;
use procfs::process::Process;
use tempfile::TempDir;

pub use agent_file::AgentFile;
pub use ctl::{Ctl, Ended, Running, binary};
pub use download::Download;
pub use registry::Registry;
pub use relay::Relay;
pub use web::{PROXY_PORT, Web, classified};

use crate::{clean::Traces, command::output, docker::Instance, load::Load, wait};

pub const CLUSTER: &str = "shop";
pub const SERVICE: &str = "web";
/// Region of the ARNs that containers carry as labels.
const REGION: &str = "eu-west-1";
/// How long something that was started may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The controller of these tests looks every 100 ms in the place of every 5 s.
const HASTE: f64 = 0.02;

/// The EC2 instance id of a host.
pub fn host(number: usize) -> String {
    format!("i-{number:017}")
}

/// Hosts that take their messages as the real SSM agent does, faster by what the controller looks more often. What AWS
/// allows a command until it is delivered stays as it is: a busy test machine needs it.
pub fn harsh() -> Timing {
    Timing { delivery_second: Duration::from_secs(1), ..Timing::harsh().scaled(HASTE) }
}

/// An account with one cluster, `shop`, and one service, `web`.
#[derive(Debug)]
pub struct Account {
    pub simulator: Simulator,
    agent: AgentFile,
    files: TempDir,
    before: Traces,
}

impl Account {
    /// Hosts and tasks for `webs`, each host with the agent installed. What is on the machine now is what has to be
    /// there at the end.
    pub fn open(instance: &Instance, webs: &[&Web<'_>]) -> Result<Self> {
        Self::open_with(instance, webs, Timing::default())
    }

    /// The same, with hosts that take their messages in another time.
    pub fn open_with(instance: &Instance, webs: &[&Web<'_>], timing: Timing) -> Result<Self> {
        let account = Self::empty(instance, webs, timing)?;
        for host in account.hosts() {
            account.install(&host)?;
        }
        Ok(account)
    }

    /// The same, with hosts that have no agent.
    pub fn empty(instance: &Instance, webs: &[&Web<'_>], timing: Timing) -> Result<Self> {
        let before = Traces::now()?;
        let agent = AgentFile::stripped()?;
        let files = tempfile::tempdir().context("creating a directory for the experiment")?;
        let simulator = Simulator::builder(world(instance, webs))
            .timing(timing)
            .start()
            .context("starting the AWS simulator")?;
        Ok(Self { simulator, agent, files, before })
    }

    /// `httpfault-ctl` with this account's keys; its hosts have the agent already.
    pub fn ctl(&self, command: &str) -> Result<Ctl> {
        let sum = format!("{}={}", std::env::consts::ARCH, self.agent.sha256);
        let ctl = self.bare(command)?;
        // Not the file itself: a debug build takes its time to compress it.
        Ok(ctl
            .env("AGENT_DIR", self.files.path())
            .env("AGENT_SHA256", sum)
            .env("AGENT_DELIVERY", "preinstalled"))
    }

    /// `run` on the service for `seconds`, with a report in JSON.
    pub fn run(&self, seconds: u64) -> Result<Ctl> {
        Ok(self.ctl("run")?.env("SERVICE_NAME", SERVICE).env("TOTAL_CHAOS_DURATION", seconds.to_string()))
    }

    /// `run` that brings the agent over SSM.
    pub fn run_and_deliver(&self, seconds: u64) -> Result<Ctl> {
        let ctl = self.bare("run")?.env("AGENT_DIR", self.agent.directory());
        Ok(ctl.env("SERVICE_NAME", SERVICE).env("TOTAL_CHAOS_DURATION", seconds.to_string()))
    }

    /// `plan` of that run, as people read it.
    pub fn plan_delivery(&self) -> Result<Ctl> {
        let ctl = self.bare("plan")?.env("AGENT_DIR", self.agent.directory());
        Ok(ctl.env("SERVICE_NAME", SERVICE).env("HTTPFAULT_OUTPUT", "text"))
    }

    fn bare(&self, command: &str) -> Result<Ctl> {
        let ctl = Ctl::new(command, self.files.path())?.envs(self.simulator.env());
        Ok(ctl.env("CLUSTER_NAME", CLUSTER))
    }

    pub fn agent(&self) -> &AgentFile {
        &self.agent
    }

    pub fn hosts(&self) -> Vec<String> {
        self.simulator.world().managed_instances.into_iter().map(|instance| instance.id).collect()
    }

    /// Where a path that hosts have for themselves is on this machine.
    pub fn on_host(&self, host: &str, path: &str) -> PathBuf {
        self.simulator.host_directory(host).join("root").join(path.trim_start_matches('/'))
    }

    /// Where the agent is on a host, when it is there.
    pub fn installed(&self, host: &str) -> PathBuf {
        self.on_host(host, &format!("/var/lib/httpfault/agents/{}/httpfault-agent", self.agent.sha256))
    }

    /// Puts the agent where delivery puts it.
    pub fn install(&self, host: &str) -> Result<()> {
        install(&self.agent.path, &self.installed(host))
    }

    /// The commands of a kind (`inject`, `status`, `piece`) so far.
    pub fn commands(&self, action: &str) -> Vec<CommandView> {
        let mark = format!(" {action} ");
        self.simulator.commands().into_iter().filter(|command| command.comment.contains(&mark)).collect()
    }

    /// Waits for so many commands of a kind that fit.
    pub fn await_commands(
        &self,
        action: &str,
        count: usize,
        fits: impl Fn(&CommandView) -> bool,
    ) -> Result<()> {
        let mark = format!(" {action} ");
        let enough = |commands: &[CommandView]| {
            let fitting = commands.iter().filter(|command| command.comment.contains(&mark) && fits(command));
            (fitting.count() >= count).then_some(())
        };
        let found = self.simulator.wait_for_commands(PATIENCE, enough);
        found.with_context(|| {
            format!("waited for {count} {action} command(s): {:#?}", self.simulator.commands())
        })
    }

    /// Ids of what runs on a host, in whatever session.
    pub fn processes(&self, host: &str) -> Vec<i32> {
        self.simulator.processes(host)
    }

    /// The agent that holds the fault on a host; its keeper is another process.
    pub fn agent_on(&self, host: &str) -> Result<Pid> {
        let runs = |pid: &i32| {
            let words = Process::new(*pid).and_then(|process| process.cmdline()).unwrap_or_default();
            words.first().is_some_and(|word| word.ends_with("httpfault-agent"))
                && words.get(1).is_some_and(|word| word == "run")
        };
        let pid = self.processes(host).into_iter().find(runs);
        Ok(Pid::from_raw(pid.with_context(|| format!("no agent runs on {host}"))?))
    }

    /// Lets a run go on until its controller and all clients have seen the fault, then ends that on `hosts`, as somebody
    /// does who works there. So nothing depends on how fast the machine is.
    pub fn end_when_seen(&self, mut run: Running, loads: &[Load], hosts: &[String]) -> Result<Ended> {
        run.await_words("proved by a second command")?;
        loads.iter().try_for_each(|load| load.await_faults(1).map(drop)).with_context(|| run.stderr())?;
        for host in hosts {
            let agent = self.agent_on(host)?;
            let mut remove = Command::new("nsenter");
            remove.arg("--target").arg(agent.to_string()).args(["--mount", "--net"]);
            output(remove.arg(fs::read_link(format!("/proc/{agent}/exe"))?).args(["remove", "--all"]))?;
        }
        run.ended()
    }

    /// Nothing is left: in the kernel, on any host, in the namespaces of the tasks.
    pub fn assert_clean(&self, webs: &[&Web<'_>]) -> Result<()> {
        let namespaces = webs.iter().map(|web| web.container.namespace()).collect::<Result<Vec<_>>>()?;
        let held: Vec<_> = namespaces.iter().map(|namespace| (namespace, PROXY_PORT)).collect();
        self.before.none_but_these(&held)?;
        for host in self.hosts() {
            let busy = || {
                Ok(self.processes(&host).is_empty()
                    && state(&self.on_host(&host, "/run/httpfault"))?.is_empty())
            };
            wait::until("hosts to be as before", Duration::from_secs(5), busy).with_context(|| {
                let state = state(&self.on_host(&host, "/run/httpfault"));
                format!("{host} has processes {:?} and state {state:?}", self.processes(&host))
            })?;
        }
        Ok(())
    }

    /// Every request of every task is answered by the application again.
    pub fn assert_real(&self, webs: &[&Web<'_>]) -> Result<()> {
        for web in webs {
            let response = web.get("/")?;
            ensure!(response.is_real(), "{} still answers {response:?}", web.task);
        }
        Ok(())
    }
}

/// Copies an agent into its place, for its owner alone.
pub fn install(from: &Path, to: &Path) -> Result<()> {
    let Some(directory) = to.parent() else { bail!("{} has no directory", to.display()) };
    fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
    fs::copy(from, to).with_context(|| format!("copying the agent to {}", to.display()))?;
    fs::set_permissions(to, Permissions::from_mode(0o700)).context("making the agent executable")
}

/// Experiments that have state in a host's /run/httpfault.
fn state(directory: &Path) -> Result<BTreeSet<String>> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(BTreeSet::new()) };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.filter(|name| !name.starts_with('.')).collect())
}

fn world(instance: &Instance, webs: &[&Web<'_>]) -> World {
    let mut cluster = Cluster::new(CLUSTER).service(Service::new(SERVICE));
    let mut world = World { region: REGION.to_owned(), ..World::new() };
    for host in webs.iter().map(|web| &web.host).collect::<BTreeSet<_>>() {
        cluster = cluster.container_instance(ContainerInstance::new(host));
        let managed = ManagedInstance::amazon_linux(host);
        world = world.managed(managed.network_namespace(instance.namespace().path()));
    }
    for web in webs {
        cluster = cluster.task(web.as_task());
    }
    world.cluster(cluster)
}
