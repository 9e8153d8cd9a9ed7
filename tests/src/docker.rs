//! Containers in the shapes that ECS gives them: `bridge` with published ports, `awsvpc` (one namespace for all
//! containers of a task, held by a pause container) and `host`.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    agent::{Agent, agent_on, run_args},
    cgroup,
    command::output,
    engine::Engine,
    image,
    machine::Machine,
    netns::{End, Namespace, Netns, connect},
    wait, wire,
};

/// The container instance's address towards [`Instance::outside`].
pub const INSTANCE_V4: Ipv4Addr = Ipv4Addr::new(10, 203, 0, 1);
pub const INSTANCE_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x203, 0, 0, 0, 0, 0, 1);
const OUTSIDE_V4: Ipv4Addr = Ipv4Addr::new(10, 203, 0, 2);
const OUTSIDE_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x203, 0, 0, 0, 0, 0, 2);
const UPLINK: &str = "uplink";

/// A container instance with its engine, and a client machine next to it. One test at a time has it.
#[derive(Debug)]
pub struct Instance {
    /// Where clients are: reaches published ports at [`INSTANCE_V4`] and, over IPv6, containers themselves.
    pub outside: Netns,
    engine: Engine,
    image: String,
    _machine: Machine,
}

impl Instance {
    pub fn take() -> Result<Self> {
        let machine = Machine::take()?;
        let engine = Engine::join()?;
        let image = image::ensure(&engine)?;
        let outside = Netns::create("outside")?;
        let inside = engine.namespace();
        connect(
            End { namespace: &inside, interface: UPLINK, v4: INSTANCE_V4, v6: INSTANCE_V6 },
            End { namespace: &outside, interface: "eth0", v4: OUTSIDE_V4, v6: OUTSIDE_V6 },
        )?;
        output(outside.command("ip").args(["route", "add", "default", "via", &INSTANCE_V4.to_string()]))?;
        output(outside.command("ip").args([
            "-6",
            "route",
            "add",
            "default",
            "via",
            &INSTANCE_V6.to_string(),
        ]))?;
        Ok(Self { outside, engine, image, _machine: machine })
    }

    /// The instance's own network namespace, which is "the host" for its containers.
    pub fn namespace(&self) -> Namespace {
        self.engine.namespace()
    }

    pub fn docker_socket(&self) -> PathBuf {
        self.engine.docker_socket()
    }

    pub fn docker(&self) -> Command {
        self.engine.docker()
    }

    /// A program that will run in the engine's mount namespace.
    pub fn beside_engine(&self, program: &str) -> Result<Command> {
        self.engine.beside(program)
    }

    /// A `run` on this instance, started.
    pub fn run(&self, target: [&str; 2], experiment: &str, more: &[&str]) -> Result<Agent> {
        Agent::start(agent_on(self, run_args(target, experiment, more))?)
    }

    /// A `run` on this instance, with the fault on.
    pub fn inject(&self, target: [&str; 2], experiment: &str, more: &[&str]) -> Result<Agent> {
        let mut agent = self.run(target, experiment, more)?;
        agent.injected()?;
        Ok(agent)
    }

    /// One request of the outside, on a connection of its own.
    pub fn get(&self, to: SocketAddr, path: &str) -> Result<wire::Response> {
        self.outside.run(|| wire::get(to, path))
    }

    /// A published port as the outside sees it.
    pub fn published(port: u16) -> SocketAddr {
        (INSTANCE_V4, port).into()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // At once: a namespace's interfaces go some time after it, and the next test uses the same name.
        if let Err(error) = output(self.namespace().command("ip").args(["link", "delete", UPLINK])) {
            eprintln!("removing the link to the outside: {error:#}");
        }
    }
}

/// A container to be.
#[derive(Debug)]
pub struct Plan<'a> {
    name: &'a str,
    command: Vec<String>,
    options: Vec<String>,
    task: Option<String>,
}

/// A running container; dropping it removes it.
#[derive(Debug)]
pub struct Container<'a> {
    pub name: String,
    pub id: String,
    instance: &'a Instance,
    task: Option<String>,
}

// === impl Plan ===

impl<'a> Plan<'a> {
    /// nginx, as assets/nginx.conf has it: the application on ports 80 and 81, with TLS on 8443.
    pub fn nginx(name: &'a str) -> Self {
        Self::running(name, &["/usr/sbin/nginx", "-c", "/etc/nginx/nginx.conf"])
    }

    /// `fixture-server` on `port`, its request count on `port + 1`.
    pub fn server(name: &'a str, port: u16) -> Self {
        let count = (port + 1).to_string();
        Self::running(name, &["/usr/bin/fixture-server", "--port", &port.to_string(), "--count-port", &count])
    }

    /// Only holds the namespaces that other containers share, as the ECS pause container does.
    pub fn pause(name: &'a str) -> Self {
        Self::running(name, &["/usr/bin/fixture-server"])
    }

    fn running(name: &'a str, command: &[&str]) -> Self {
        let command = command.iter().map(|&word| word.to_owned()).collect();
        Self { name, command, options: Vec::new(), task: None }
    }

    /// Bridge mode: `outside` on the instance leads to `inside`.
    pub fn publish(mut self, outside: u16, inside: u16) -> Self {
        self.options.extend(["--publish".to_owned(), format!("{outside}:{inside}")]);
        self
    }

    /// Lives in another container's network namespace.
    pub fn network_of(mut self, container: &Container<'_>) -> Self {
        self.options.extend(["--network".to_owned(), format!("container:{}", container.name)]);
        self
    }

    pub fn host_network(mut self) -> Self {
        self.options.extend(["--network".to_owned(), "host".to_owned()]);
        self
    }

    /// What the ECS agent adds to the containers of a task: cgroup parent and labels.
    pub fn task(mut self, id: &str) -> Self {
        let labels = [
            ("task-arn", format!("arn:aws:ecs:eu-west-1:123456789012:task/shop/{id}")),
            ("container-name", self.name.to_owned()),
            ("task-definition-family", "shop".to_owned()),
            ("task-definition-version", "1".to_owned()),
            ("cluster", "shop".to_owned()),
        ];
        for (key, value) in labels {
            self.options.extend(["--label".to_owned(), format!("com.amazonaws.ecs.{key}={value}")]);
        }
        self.options.extend(["--cgroup-parent".to_owned(), format!("/ecs/{id}")]);
        self.task = Some(id.to_owned());
        self
    }

    /// Starts the container, without waiting for what runs in it.
    pub fn start<'i>(self, instance: &'i Instance) -> Result<Container<'i>> {
        let mut run = instance.docker();
        run.args(["run", "--detach", "--name", self.name]).args(&self.options).arg(&instance.image);
        let id = output(run.args(&self.command))?.trim().to_owned();
        Ok(Container { name: self.name.to_owned(), id, instance, task: self.task })
    }

    /// Starts the container and waits until it listens on `port`.
    pub fn serve(self, instance: &Instance, port: u16) -> Result<Container<'_>> {
        let container = self.start(instance)?;
        container.wait_for(port)?;
        Ok(container)
    }
}

// === impl Container ===

impl Container<'_> {
    /// Process id of the container's first process.
    pub fn pid(&self) -> Result<u32> {
        self.inspect("{{.State.Pid}}")?.parse().context("reading the container's process id")
    }

    pub fn namespace(&self) -> Result<Namespace> {
        Ok(Namespace::of(self.pid()?))
    }

    /// Its own address on the bridge.
    pub fn v4(&self, port: u16) -> Result<SocketAddr> {
        let address: Ipv4Addr =
            self.inspect("{{.NetworkSettings.IPAddress}}")?.parse().context("no IPv4 address")?;
        Ok((address, port).into())
    }

    pub fn v6(&self, port: u16) -> Result<SocketAddr> {
        let address = self.inspect("{{.NetworkSettings.GlobalIPv6Address}}")?;
        let address: Ipv6Addr = address.parse().context("no IPv6 address")?;
        Ok((address, port).into())
    }

    /// A command inside the container, in its cgroup.
    pub fn exec(&self, program: &str) -> Command {
        let mut docker = self.instance.docker();
        docker.args(["exec", "--interactive", &self.id, program]);
        docker
    }

    pub fn docker(&self, verb: &str) -> Result<String> {
        output(self.instance.docker().args([verb, &self.id]))
    }

    /// Stops it as a deployment does, with a second for an orderly end.
    pub fn stop(&self) -> Result<String> {
        output(self.instance.docker().args(["stop", "--time", "1", &self.id]))
    }

    pub fn restart(&self) -> Result<String> {
        output(self.instance.docker().args(["restart", "--time", "1", &self.id]))
    }

    /// Requests that nginx has logged for this path.
    pub fn logged(&self, path: &str) -> Result<usize> {
        let log = self.docker("logs")?;
        Ok(log.lines().filter(|line| line.split_whitespace().any(|word| word == path)).count())
    }

    pub fn wait_for(&self, port: u16) -> Result<()> {
        let namespace = self.namespace()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait::until(&format!("{} to listen on {port}", self.name), Duration::from_secs(10), || {
            namespace.run(|| Ok(TcpStream::connect(address).is_ok()))
        })?;
        Ok(())
    }

    fn inspect(&self, format: &str) -> Result<String> {
        let text = output(self.instance.docker().args(["inspect", "--format", format, &self.id]))?;
        Ok(text.trim().to_owned())
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if let Err(error) = output(self.instance.docker().args(["rm", "--force", "--volumes", &self.id])) {
            eprintln!("removing container {}: {error:#}", self.name);
        }
        if let (Some(task), Ok(mount)) = (&self.task, cgroup::mount()) {
            // Still in use while another container of the task lives; the last one removes it.
            let removed = fs::remove_dir(mount.join("ecs").join(task));
            drop(removed);
        }
    }
}
