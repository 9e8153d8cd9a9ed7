//! A target without Docker: `fixture-server`, or another server, in a network namespace and a cgroup of its own, and a
//! client machine at the other end of a cable.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::{
    agent::{Agent, agent, run_args},
    cgroup::Cgroup,
    command::{built, output},
    machine::Machine,
    netns::{End, Netns, connect},
    servers::{Program, Server},
    wait, wire,
};

/// Addresses of the target; the namespaces are made for one test, so every test uses the same.
pub const TARGET_V4: Ipv4Addr = Ipv4Addr::new(10, 204, 0, 1);
pub const TARGET_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x204, 0, 0, 0, 0, 0, 1);
const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(10, 204, 0, 2);
const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x204, 0, 0, 0, 0, 0, 2);

/// Where the application listens.
pub const PORT: u16 = 80;
/// Where it tells how many requests it has seen: no fault may touch it.
pub const COUNT_PORT: u16 = 81;
/// How long an application may take to start. The slowest takes a second, on an emulated machine half a minute.
const LISTENS: Duration = Duration::from_secs(90);

/// Fields in the order in which they must go.
#[derive(Debug)]
pub struct Site {
    application: Application,
    pub client: Netns,
    pub target: Netns,
    _machine: Option<Machine>,
    _files: Option<TempDir>,
}

/// A process in a cgroup.
#[derive(Debug)]
pub struct Application {
    child: Child,
    cgroup: Cgroup,
    _program: Option<Program>,
}

impl Site {
    /// A site with the machine for itself.
    pub fn take(label: &str) -> Result<Self> {
        let machine = Machine::take()?;
        Ok(Self { _machine: Some(machine), ..Self::beside(label)? })
    }

    /// A further site of a test that has the machine already.
    pub fn beside(label: &str) -> Result<Self> {
        Self::with(label, |target| Application::start(label, target, PORT))
    }

    /// A site whose `fixture-server` has these arguments more, and listens on this address; with the machine for itself.
    pub fn take_listening(label: &str, address: IpAddr, more: &[&str]) -> Result<Self> {
        let machine = Machine::take()?;
        let site = Self::with(label, |target| Application::listen(label, target, address, PORT, more))?;
        Ok(Self { _machine: Some(machine), ..site })
    }

    /// A site whose server is started again whenever it ends, by a process that lives on; with the machine for itself.
    pub fn take_restarting(label: &str) -> Result<Self> {
        let machine = Machine::take()?;
        Ok(Self {
            _machine: Some(machine),
            ..Self::with(label, |target| Application::restarting(label, target, PORT))?
        })
    }

    /// A site of that server, with the machine for itself.
    pub fn serve(server: Server) -> Result<Self> {
        // Installed before others have to wait for this test.
        let program = server.program(PORT)?;
        let machine = Machine::take()?;
        Ok(Self { _machine: Some(machine), ..Self::serve_program(program)? })
    }

    /// A site of a server that sleeps after each answer, and before it closes at the end of its input; with the machine
    /// for itself.
    pub fn serve_late(after_answer: Duration, before_close: Duration) -> Result<Self> {
        let times = [after_answer, before_close].map(|time| time.as_millis().to_string());
        let program = Program::python("servers/python/late.py", &[&PORT.to_string(), &times[0], &times[1]])?;
        let machine = Machine::take()?;
        Ok(Self { _machine: Some(machine), ..Self::serve_program(program)? })
    }

    /// A site of that server beside others, by who has the machine already.
    pub fn serve_beside(server: Server) -> Result<Self> {
        Self::serve_program(server.program(PORT)?)
    }

    /// A site whose application is started by `command`, beside others.
    pub fn started(label: &str, command: impl FnOnce(&Cgroup, &Netns) -> Result<Command>) -> Result<Self> {
        Self::with(label, |target| Application::started(label, target, PORT, command))
    }

    fn serve_program(program: Program) -> Result<Self> {
        Self::with("server", |target| Application::serve("server", target, program, PORT))
    }

    fn with(label: &str, start: impl FnOnce(&Netns) -> Result<Application>) -> Result<Self> {
        let target = Netns::create(label)?;
        let client = Netns::create(label)?;
        connect(
            End { namespace: &target, interface: "eth0", v4: TARGET_V4, v6: TARGET_V6 },
            End { namespace: &client, interface: "eth0", v4: CLIENT_V4, v6: CLIENT_V6 },
        )?;
        let application = start(&target)?;
        Ok(Self { application, client, target, _machine: None, _files: None })
    }

    /// Process id of the application.
    pub fn pid(&self) -> u32 {
        self.application.pid()
    }

    /// Keeps these files as long as the application.
    pub fn keep(self, files: TempDir) -> Self {
        Self { _files: Some(files), ..self }
    }

    /// The application's.
    pub fn cgroup(&self) -> &Cgroup {
        &self.application.cgroup
    }

    /// A `run` against this site, started.
    pub fn run(&self, experiment: &str, more: &[&str]) -> Result<Agent> {
        Agent::start(agent(run_args(["--pid", &self.pid().to_string()], experiment, more))?)
    }

    /// A `run` against this site, with the fault on.
    pub fn inject(&self, experiment: &str, more: &[&str]) -> Result<Agent> {
        let mut agent = self.run(experiment, more)?;
        agent.injected()?;
        Ok(agent)
    }

    /// The application's port as clients reach it, over both families.
    pub fn addresses(&self) -> [SocketAddr; 2] {
        [self.v4(), self.v6()]
    }

    pub fn v4(&self) -> SocketAddr {
        (TARGET_V4, PORT).into()
    }

    pub fn v6(&self) -> SocketAddr {
        (TARGET_V6, PORT).into()
    }

    /// One request of the client machine, on a connection of its own.
    pub fn get(&self, to: SocketAddr, path: &str) -> Result<wire::Response> {
        self.client.run(|| wire::get(to, path))
    }

    /// A connection of the client machine.
    pub fn open(&self, to: SocketAddr) -> Result<wire::Connection> {
        self.client.run(|| wire::Connection::open(to).with_context(|| format!("connecting to {to}")))
    }

    /// Requests that reached the application so far.
    pub fn served(&self) -> Result<u64> {
        let count = self.get((TARGET_V4, COUNT_PORT).into(), "/")?;
        count.text().parse().context("reading the application's count")
    }

    /// `fixture-client` as a process of the task: the application's cgroup and namespace.
    pub fn in_task(&self) -> Result<Command> {
        self.application.in_task(&self.target)
    }

    /// `fixture-client` in the application's namespace, but in another cgroup.
    pub fn in_namespace_only(&self) -> Result<Command> {
        Ok(self.target.command(built("fixture-client")?))
    }

    /// Ends the application, as a crash does.
    pub fn crash(&mut self) -> Result<()> {
        self.application.child.kill().context("killing the application")?;
        self.application.child.wait().context("waiting for the application")?;
        Ok(())
    }

    /// Starts the application again, after [`Site::crash`].
    pub fn restart(&mut self) -> Result<()> {
        self.application = Application::start("again", &self.target, PORT)?;
        Ok(())
    }

    /// IPv6 addresses outlive an interface that is down, as IPv4 ones do.
    pub fn keep_addresses(&self) -> Result<()> {
        let keep = "echo 1 > /proc/sys/net/ipv6/conf/eth0/keep_addr_on_down";
        [&self.target, &self.client]
            .into_iter()
            .try_for_each(|end| output(end.command("sh").args(["-c", keep])).map(drop))
    }

    /// Takes an interface up or down, the target's or the client machine's.
    pub fn plug(&self, target: bool, up: bool) -> Result<()> {
        let end = if target { &self.target } else { &self.client };
        let state = if up { "up" } else { "down" };
        output(end.command("ip").args(["link", "set", "eth0", state])).map(drop)
    }

    /// Ends the application and gives up the namespace; returns the client machine, whose cable disappears when the
    /// kernel really lets the namespace go.
    pub fn abandon(mut self) -> Result<(Netns, Option<Machine>)> {
        self.crash()?;
        Ok((self.client, self._machine))
    }
}

impl Application {
    /// Starts `fixture-server` on `port` (its count on the next one) and waits until it listens.
    pub fn start(label: &str, namespace: &Netns, port: u16) -> Result<Self> {
        let cgroup = Cgroup::create(label)?;
        let count_port = (port + 1).to_string();
        let mut command = cgroup.command(namespace, built("fixture-server")?);
        command.args(["--port", &port.to_string(), "--count-port", &count_port]).stdin(Stdio::null());
        let child = command.spawn().context("starting fixture-server")?;
        let application = Self { child, cgroup, _program: None };
        for port in [port, port + 1] {
            application.await_listening(namespace, Ipv4Addr::LOCALHOST.into(), port)?;
        }
        Ok(application)
    }

    /// Starts `fixture-server` with more arguments and waits until it listens on `address`, or on loopback if that is a
    /// wildcard.
    pub fn listen(label: &str, namespace: &Netns, address: IpAddr, port: u16, more: &[&str]) -> Result<Self> {
        let cgroup = Cgroup::create(label)?;
        let mut command = cgroup.command(namespace, built("fixture-server")?);
        command.args(["--port", &port.to_string(), "--address", &address.to_string()]).args(more);
        let child = command.stdin(Stdio::null()).spawn().context("starting fixture-server")?;
        let application = Self { child, cgroup, _program: None };
        match address {
            IpAddr::V4(v4) if v4.is_unspecified() => {
                application.await_listening(namespace, Ipv4Addr::LOCALHOST.into(), port)?;
            }
            IpAddr::V6(v6) if v6.is_unspecified() => {
                application.await_listening(namespace, Ipv6Addr::LOCALHOST.into(), port)?;
            }
            // Another one's wildcard would answer in its place.
            IpAddr::V4(_) | IpAddr::V6(_) => {
                let filter = format!("src {address} and sport = :{port}");
                wait::until(&format!("fixture-server to listen on {address}"), LISTENS, || {
                    Ok(!output(namespace.command("ss").args(["-Hltn", &filter]))?.trim().is_empty())
                })?;
            }
        }
        Ok(application)
    }

    fn restarting(label: &str, namespace: &Netns, port: u16) -> Result<Self> {
        let cgroup = Cgroup::create(label)?;
        let mut command = cgroup.command(namespace, "sh");
        command.args(["-c", r#"while :; do "$@"; done"#, "sh"]).arg(built("fixture-server")?);
        let child = command.args(["--port", &port.to_string()]).stdin(Stdio::null()).spawn();
        let child = child.context("starting a shell")?;
        let application = Self { child, cgroup, _program: None };
        application.await_listening(namespace, Ipv4Addr::LOCALHOST.into(), port)?;
        Ok(application)
    }

    fn started(
        label: &str,
        namespace: &Netns,
        port: u16,
        command: impl FnOnce(&Cgroup, &Netns) -> Result<Command>,
    ) -> Result<Self> {
        let cgroup = Cgroup::create(label)?;
        let mut command = command(&cgroup, namespace)?;
        let child = command.stdin(Stdio::null()).spawn().with_context(|| format!("starting {command:?}"))?;
        let application = Self { child, cgroup, _program: None };
        application.await_listening(namespace, Ipv4Addr::LOCALHOST.into(), port)?;
        Ok(application)
    }

    /// Starts a server and waits until it listens on both families.
    fn serve(label: &str, namespace: &Netns, program: Program, port: u16) -> Result<Self> {
        let cgroup = Cgroup::create(label)?;
        let child = program.as_target(&cgroup, namespace).stdin(Stdio::null()).spawn();
        let child = child.with_context(|| format!("starting {program:?}"))?;
        let application = Self { child, cgroup, _program: Some(program) };
        for address in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
            application.await_listening(namespace, address, port)?;
        }
        Ok(application)
    }

    fn await_listening(&self, namespace: &Netns, address: IpAddr, port: u16) -> Result<()> {
        let address = SocketAddr::new(address, port);
        let listens = || Ok(TcpStream::connect(address).is_ok());
        namespace
            .run(|| wait::until(&format!("the application to listen on {address}"), LISTENS, listens))
            .map(drop)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `fixture-client` in its cgroup and in `namespace`.
    pub fn in_task(&self, namespace: &Netns) -> Result<Command> {
        Ok(self.cgroup.command(namespace, built("fixture-client")?))
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        // An application that a test has ended already is no error; the cgroup kills what else is inside.
        if self.child.kill().is_ok()
            && let Err(error) = self.child.wait()
        {
            eprintln!("waiting for the application: {error}");
        }
    }
}
