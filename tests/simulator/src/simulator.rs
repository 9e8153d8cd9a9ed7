//! A running simulator, as a test holds it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::call::Call;
use crate::debug_chain;
use crate::faults::Faults;
use crate::host::{Mountpoint, MountpointError, Occupied, PRIVATE};
use crate::http;
use crate::identity::User;
use crate::ssm::{CommandView, Execution, Timing};
use crate::state::{Shared, State};
use crate::world::World;

/// A simulator that listens. Dropping it ends it and every process on its hosts. It runs on threads of its own, so it
/// can be used from tests with and without an async runtime; methods whose name starts with `wait` block.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
    // Dropped after the processes are gone, in this order.
    _mountpoints: Vec<Mountpoint>,
    _directory: TempDir,
}

/// What can be chosen before the start.
#[derive(Debug)]
pub struct Builder {
    world: World,
    address: SocketAddr,
    timing: Timing,
    execution: Execution,
}

/// Why a simulator does not start.
#[derive(Error)]
#[non_exhaustive]
pub enum SimulatorError {
    /// The port is taken, or the like.
    #[error("listening on {address}; choose another address if it is taken")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// No directory, thread or runtime could be made.
    #[error("{doing}")]
    Start {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The machine does not let the hosts have directories of their own.
    #[error(transparent)]
    Mountpoint(#[from] MountpointError),
}

impl Simulator {
    /// Starts on a free loopback port, with real execution and AWS's timing made short.
    pub fn start(world: World) -> Result<Self, SimulatorError> {
        Simulator::builder(world).start()
    }

    /// For everything else.
    pub fn builder(world: World) -> Builder {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Builder { world, address, timing: Timing::default(), execution: Execution::default() }
    }

    /// `http://127.0.0.1:PORT`, for `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Environment of a program that is to talk to this simulator with the keys of the first user, and that is to
    /// find no other credentials.
    pub fn env(&self) -> Vec<(String, String)> {
        let user = self.shared.read(|state| state.world.users.first().cloned());
        self.env_for(&user.unwrap_or_else(User::administrator))
    }

    /// The same with the keys of a user.
    pub fn env_for(&self, user: &User) -> Vec<(String, String)> {
        let mut env = self.env_without_keys();
        env.push(("AWS_ACCESS_KEY_ID".to_owned(), user.access_key_id.clone()));
        env.push(("AWS_SECRET_ACCESS_KEY".to_owned(), user.secret_access_key.clone()));
        env
    }

    /// Endpoint and region; no credentials, no files, no instance metadata.
    pub fn env_without_keys(&self) -> Vec<(String, String)> {
        let region = self.shared.read(|state| state.world.region.clone());
        let pairs = [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_REGION", region.clone()),
            ("AWS_DEFAULT_REGION", region),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// Environment of a pod with EKS Pod Identity: the endpoint that gives out sessions of `role`, and its token.
    pub fn env_container_credentials(&self, role: &str) -> Vec<(String, String)> {
        let mut env = self.env_without_keys();
        let url = format!("{}{}{role}", self.endpoint(), http::CONTAINER_PATH);
        env.push(("AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned(), url));
        env.push(("AWS_CONTAINER_AUTHORIZATION_TOKEN".to_owned(), http::CONTAINER_TOKEN.to_owned()));
        env
    }

    /// Environment of an EC2 instance whose profile holds the first role of the world.
    pub fn env_instance_profile(&self) -> Vec<(String, String)> {
        let mut env = self.env_without_keys();
        env.retain(|(name, _)| name != "AWS_EC2_METADATA_DISABLED");
        env.push(("AWS_EC2_METADATA_SERVICE_ENDPOINT".to_owned(), self.endpoint()));
        env
    }

    /// Changes the world. Running hosts keep the [`HostSetup`](crate::HostSetup) they started with.
    pub fn edit<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        self.shared.update(|state| change(&mut state.world))
    }

    /// The world as it is now.
    pub fn world(&self) -> World {
        self.shared.read(|state| state.world.clone())
    }

    /// Switches faults on and off.
    pub fn faults<T>(&self, change: impl FnOnce(&mut Faults) -> T) -> T {
        self.shared.update(|state| change(&mut state.faults))
    }

    /// Lets every session that was issued so far expire now: ExpiredTokenException.
    pub fn expire_sessions(&self) -> usize {
        self.shared.update(|state| state.keys.expire_sessions())
    }

    /// How long credentials from the container and instance endpoints live from now on. Default 1 h.
    pub fn credential_lifetime(&self, lifetime: Duration) {
        self.shared.update(|state| state.credential_lifetime = lifetime);
    }

    /// All calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.read(|state| state.calls.clone())
    }

    /// The calls of one action.
    pub fn calls_of(&self, action: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.action == action).collect()
    }

    /// What was put into S3, by `bucket/key`.
    pub fn stored(&self) -> BTreeMap<String, Vec<u8>> {
        let stored =
            |state: &State| state.stored.iter().map(|(path, bytes)| (path.clone(), bytes.to_vec())).collect();
        self.shared.read(stored)
    }

    /// How many there were.
    pub fn count(&self, action: &str) -> usize {
        self.shared.read(|state| state.calls.iter().filter(|call| call.action == action).count())
    }

    /// All commands so far, oldest first.
    pub fn commands(&self) -> Vec<CommandView> {
        self.shared.read(|state| state.commands.iter().map(|command| command.view()).collect())
    }

    /// Waits until `look` finds something in the commands; `None` after `timeout`.
    pub fn wait_for_commands<T>(
        &self,
        timeout: Duration,
        mut look: impl FnMut(&[CommandView]) -> Option<T>,
    ) -> Option<T> {
        self.shared.wait(timeout, |state| {
            let commands: Vec<CommandView> = state.commands.iter().map(|command| command.view()).collect();
            look(&commands)
        })
    }

    /// Waits until `look` finds something in the calls; `None` after `timeout`.
    pub fn wait_for_calls<T>(
        &self,
        timeout: Duration,
        mut look: impl FnMut(&[Call]) -> Option<T>,
    ) -> Option<T> {
        self.shared.wait(timeout, |state| look(&state.calls))
    }

    /// Ids of the processes on an instance's host, in whatever session or process group they are.
    pub fn processes(&self, instance: &str) -> Vec<i32> {
        self.shared.hosts.processes(instance)
    }

    /// Where an instance's host keeps its files on this machine: `root/` backs its private directories,
    /// `ssm/document/orchestration/` holds the scripts and their output.
    pub fn host_directory(&self, instance: &str) -> PathBuf {
        self.shared.hosts.directory(instance)
    }

    /// Cuts the power of an instance's host and starts it again: its processes are gone, its /run/httpfault is empty,
    /// scripts that ran end as Failed.
    pub fn reboot(&self, instance: &str) {
        self.shared.hosts.crash(instance);
    }

    /// Terminates an instance, as Spot or a scale-in does: its processes are gone, its tasks STOPPED, SendCommand
    /// refuses it, and Systems Manager still shows it as Online.
    pub fn terminate(&self, instance: &str) {
        self.edit(|world| {
            if let Some(managed) = world.managed_mut(instance) {
                managed.terminated = true;
            }
            let tasks = world.clusters.iter_mut().flat_map(|cluster| &mut cluster.tasks);
            let here = tasks.filter(|task| task.ec2_instance_id.as_deref() == Some(instance));
            here.for_each(|task| task.stop(&format!("Host EC2 (instance {instance}) terminated.")));
        });
        self.shared.hosts.crash(instance);
    }

    /// Kills the document workers of all scripts that run on an instance. The scripts go on; after
    /// [`Timing::lost_worker`](crate::Timing::lost_worker) the agent reports them as Failed.
    pub fn kill_document_workers(&self, instance: &str) {
        self.shared.read(|state| {
            let invocations = state.commands.iter().flat_map(|command| &command.invocations);
            let running = invocations.filter(|one| one.instance_id == instance && one.started.is_some());
            running.for_each(|one| one.worker_died.cancel());
        });
    }

    /// Keeps so many of an instance's five workers busy, as other users of Run Command do, until the result is
    /// dropped. `None` if there are not so many free ones.
    pub fn occupy(&self, instance: &str, workers: u32) -> Option<Occupied> {
        self.shared.hosts.queue(instance).occupy(workers)
    }
}

impl Builder {
    /// Listens here and not on a free loopback port.
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Sets how long things take.
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// Sets how commands are carried out.
    pub fn execution(mut self, execution: Execution) -> Self {
        self.execution = execution;
        self
    }

    /// Starts it. When this returns, it answers.
    pub fn start(self) -> Result<Simulator, SimulatorError> {
        let problem = |doing| move |source| SimulatorError::Start { doing, source };
        let directory = TempDir::with_prefix("aws-simulator-").map_err(problem("making a directory"))?;
        let mut mountpoints = Vec::new();
        if matches!(self.execution, Execution::Shell) {
            for path in PRIVATE {
                mountpoints.push(Mountpoint::keep(Path::new(path))?);
            }
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("aws-simulator")
            .enable_all()
            .build()
            .map_err(problem("starting a runtime"))?;
        let listen = |source| SimulatorError::Listen { address: self.address, source };
        let listener = runtime.block_on(TcpListener::bind(self.address)).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;

        let path = directory.path().to_owned();
        let shared = Arc::new(Shared::new(self.world, self.timing, self.execution, path));
        let stop = CancellationToken::new();
        // The runtime is owned by a thread because it must not be dropped inside another one, such as a test's.
        let (served, stopped) = (Arc::clone(&shared), stop.clone());
        let thread = std::thread::Builder::new().name("aws-simulator".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = http::serve(listener, served) => {}
                    () = stopped.cancelled() => {}
                }
            });
            // Waits until no task can start a process any more.
            runtime.shutdown_timeout(Duration::from_secs(5));
        });
        let thread = Some(thread.map_err(problem("starting a thread"))?);
        Ok(Simulator { address, shared, stop, thread, _mountpoints: mountpoints, _directory: directory })
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // It has panicked; the test that is being dropped has more to say about that.
            let _ = thread.join();
        }
        self.shared.hosts.end();
    }
}

impl fmt::Debug for SimulatorError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_chain(self, formatter)
    }
}
