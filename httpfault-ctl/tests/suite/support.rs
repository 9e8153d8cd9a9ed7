//! A simulator, a directory with stand-in agents, and the program under test.

use std::{
    fmt,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use httpfault_simulator::{CommandView, Simulator, Timing, World};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const STUB: &str = include_str!("stub-agent.sh");
/// How long an event may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// A message every 200 to 250 ms in the place of 2 to 2.5 s.
const HARSH: f64 = 0.1;
/// Milliseconds between two looks of the controller: many for tests that are about something else, and what 5000 is on
/// AWS.
const OFTEN: &str = "40";
const AS_ON_AWS: &str = "500";

/// Everything a test needs.
pub(crate) struct Site {
    pub(crate) simulator: Simulator,
    pub(crate) files: TempDir,
    poll_ms: &'static str,
}

/// A program that runs.
pub(crate) struct Running(Option<Child>);

/// A finished program, shown whole when an assertion fails.
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Site {
    pub(crate) fn new(world: World) -> Self {
        Self::with(Simulator::start(world).unwrap())
    }

    /// Hosts take their messages as the real SSM agent does, and the controller looks as seldom as on AWS; all of it in a
    /// tenth of the time. What AWS allows a command until it is delivered stays as it is: a busy test machine needs it.
    pub(crate) fn harsh(world: World) -> Self {
        let timing = Timing { delivery_second: Duration::from_secs(1), ..Timing::harsh().scaled(HARSH) };
        let simulator = Simulator::builder(world).timing(timing).start().unwrap();
        Self { poll_ms: AS_ON_AWS, ..Self::with(simulator) }
    }

    pub(crate) fn with(simulator: Simulator) -> Self {
        let files = TempDir::new().unwrap();
        fs::create_dir(files.path().join("specs")).unwrap();
        let site = Self { simulator, files, poll_ms: OFTEN };
        site.agent(STUB);
        let specs = site.specs_dir().display().to_string();
        site.simulator.edit(|world| {
            for managed in &mut world.managed_instances {
                managed.host.env.insert("STUB_SPECS".to_owned(), specs.clone());
            }
        });
        site
    }

    /// Replaces the agent for both architectures; returns its checksum's place on a host.
    pub(crate) fn agent(&self, text: &str) {
        for architecture in ["x86_64", "aarch64"] {
            let path = self.agent_path(architecture);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        }
    }

    pub(crate) fn agent_path(&self, architecture: &str) -> PathBuf {
        self.files.path().join(format!("httpfault-agent-{architecture}"))
    }

    fn specs_dir(&self) -> PathBuf {
        self.files.path().join("specs")
    }

    /// What the stand-in agents were told.
    pub(crate) fn specs(&self) -> Vec<Value> {
        let entries = fs::read_dir(self.specs_dir()).unwrap();
        entries
            .map(|entry| serde_json::from_str(&fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap())
            .collect()
    }

    /// The same, and forgets them.
    pub(crate) fn take_specs(&self) -> Vec<Value> {
        let specs = self.specs();
        fs::remove_dir_all(self.specs_dir()).unwrap();
        fs::create_dir(self.specs_dir()).unwrap();
        specs
    }

    /// Makes a host's stand-in agent behave in another way. Before its first command.
    pub(crate) fn mode(&self, instance: &str, mode: &str) {
        self.simulator.edit(|world| {
            world.managed_mut(instance).unwrap().host.env.insert("STUB_MODE".to_owned(), mode.to_owned());
        });
    }

    /// Makes a host's stand-in agent hold its fault for the whole duration, as the real one does.
    pub(crate) fn exact(&self, instance: &str) {
        self.simulator.edit(|world| {
            let env = &mut world.managed_mut(instance).unwrap().host.env;
            env.insert("STUB_LONGER".to_owned(), "1".to_owned());
        });
    }

    /// The program, without anything from the environment of the test.
    pub(crate) fn ctl(&self, command: &str) -> Command {
        let mut ctl = bare(command);
        ctl.envs(self.simulator.env()).env("CLUSTER_NAME", CLUSTER).env("AGENT_DIR", self.files.path());
        ctl.env("HTTPFAULT_POLL_MS", self.poll_ms);
        ctl
    }

    /// `run` or `plan` on the service, short.
    pub(crate) fn on_service(&self, command: &str) -> Command {
        let mut ctl = self.ctl(command);
        ctl.env("SERVICE_NAME", SERVICE).env("TOTAL_CHAOS_DURATION", "3").arg("--output").arg("json");
        ctl
    }

    /// Where a path that hosts have for themselves is on this machine.
    pub(crate) fn on_host(&self, instance: &str, path: &str) -> PathBuf {
        self.simulator.host_directory(instance).join("root").join(path.trim_start_matches('/'))
    }

    /// Waits for a command of this kind.
    pub(crate) fn await_command(&self, action: &str, fits: impl Fn(&CommandView) -> bool) {
        let mark = format!(" {action} ");
        let found = self.simulator.wait_for_commands(PATIENCE, |commands| {
            commands.iter().any(|command| command.comment.contains(&mark) && fits(command)).then_some(())
        });
        assert!(found.is_some(), "no {action} command: {:#?}", self.simulator.commands());
    }

    /// Waits until `status` commands have shown the fault on so often, host by host.
    pub(crate) fn await_on(&self, times: usize) {
        let found =
            self.simulator.wait_for_commands(PATIENCE, |commands| (seen_on(commands) >= times).then_some(()));
        assert!(found.is_some(), "the fault was not on {times} times: {:#?}", self.simulator.commands());
    }

    /// How often that was up to now.
    pub(crate) fn times_on(&self) -> usize {
        seen_on(&self.simulator.commands())
    }

    pub(crate) fn commands(&self, action: &str) -> Vec<CommandView> {
        let mark = format!(" {action} ");
        self.simulator.commands().into_iter().filter(|command| command.comment.contains(&mark)).collect()
    }

    /// Puts the stand-in agent on every host, as a run before would have.
    pub(crate) fn install(&self) {
        for managed in self.simulator.world().managed_instances {
            let from = self.agent_path("x86_64");
            let to = self.on_host(&managed.id, &format!("/var/lib/httpfault/agents/{}", sha256(&from)));
            fs::create_dir_all(&to).unwrap();
            fs::copy(from, to.join("httpfault-agent")).unwrap();
        }
    }

    /// Waits until it is so.
    pub(crate) fn eventually(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !holds() {
            assert!(std::time::Instant::now() < deadline, "never came true: {what}");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// No stand-in agent is left on any host.
    pub(crate) fn assert_clean(&self) {
        for managed in self.simulator.world().managed_instances {
            let state = self.on_host(&managed.id, "/run/httpfault");
            let left: Vec<_> = fs::read_dir(&state).map(|dir| dir.flatten().collect()).unwrap_or_default();
            assert!(left.is_empty(), "left on {}: {left:?}", managed.id);
        }
    }
}

/// The simulator's fleet: cluster, service and instance ids.
pub(crate) const CLUSTER: &str = "shop";
pub(crate) const SERVICE: &str = "web";

pub(crate) fn host(number: usize) -> String {
    format!("i-{number:017}")
}

fn seen_on(commands: &[CommandView]) -> usize {
    let invocations = commands.iter().flat_map(|command| &command.invocations);
    invocations.filter(|invocation| invocation.stdout.contains("\"phase\":\"on\"")).count()
}

/// The program with an empty environment.
pub(crate) fn bare(command: &str) -> Command {
    let mut ctl = Command::new(env!("CARGO_BIN_EXE_httpfault-ctl"));
    ctl.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", "/nonexistent");
    ctl.env("HTTPFAULT_ANSWER_SECS", "60").arg(command);
    ctl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    ctl
}

pub(crate) fn finish(ctl: &mut Command) -> Finished {
    start(ctl).ended()
}

pub(crate) fn start(ctl: &mut Command) -> Running {
    Running(Some(ctl.spawn().unwrap()))
}

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.0.as_ref().unwrap().id();
        kill(Pid::from_raw(i32::try_from(id).unwrap()), signal).unwrap();
    }

    pub(crate) fn ended(mut self) -> Finished {
        let output = self.0.take().unwrap().wait_with_output().unwrap();
        Finished {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Drop for Running {
    /// A test that fails leaves no program behind.
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _already_gone = child.kill();
            let _reaped = child.wait();
        }
    }
}

impl Finished {
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    #[track_caller]
    pub(crate) fn says(self, what: &str) -> Self {
        assert!(self.stderr.contains(what) || self.stdout.contains(what), "no {what:?} in {self}");
        self
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

/// A file's SHA-256 by the tool that hosts use.
pub(crate) fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().chars().take(64).collect()
}
