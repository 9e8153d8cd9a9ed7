//! Where everything happens: a client's and a target's network namespace with a cable between them, the target's
//! application in a cgroup of its own, and a neighbour's cgroup.

use std::{
    io::Read,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    cgroup::Cgroup,
    finding::Host,
    http::{Answer, Connection},
    link::{self, End},
    netns::Netns,
    role::{READY, Seen},
};

pub(crate) const PORT: u16 = 80;

/// RFC 2544 and RFC 4193 addresses: nobody's.
const CLIENT: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(198, 18, 7, 1)), IpAddr::V6(Ipv6Addr::new(0xfd5f, 0xa017, 0, 0, 0, 0, 0, 1))];
const TARGET: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(198, 18, 7, 2)), IpAddr::V6(Ipv6Addr::new(0xfd5f, 0xa017, 0, 0, 0, 0, 0, 2))];

/// Everything but the agent, which runs outside of it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) agent: PathBuf,
    pub(crate) host: Host,
    pub(crate) target: Netns,
    client: Netns,
    application: Child,
    // Removed last: the processes in them end before.
    pub(crate) group: Cgroup,
    pub(crate) neighbour: Cgroup,
}

impl Site {
    pub(crate) fn build(agent: &Path, host: Host) -> Result<Self> {
        let (client, target) = (Netns::create()?, Netns::create()?);
        let end = |netns, interface, [v4, v6]: [IpAddr; 2]| End {
            netns,
            interface,
            addresses: [(v4, 24), (v6, 64)],
        };
        link::connect(end(&target, "eth0", TARGET), end(&client, "cable0", CLIENT))?;
        let (group, neighbour) = (Cgroup::create(host, "target")?, Cgroup::create(host, "neighbour")?);
        let application = target.run(|| start_application(&group))?;
        Ok(Self { agent: agent.to_owned(), host, target, client, application, group, neighbour })
    }

    /// Process id of the application.
    pub(crate) fn target_pid(&self) -> u32 {
        self.application.id()
    }

    /// Where clients outside connect to.
    pub(crate) fn v4(&self) -> SocketAddr {
        SocketAddr::new(TARGET[0], PORT)
    }

    /// The same, IPv6.
    pub(crate) fn v6(&self) -> SocketAddr {
        SocketAddr::new(TARGET[1], PORT)
    }

    /// Connects from outside.
    pub(crate) fn open(&self, to: SocketAddr) -> Result<Connection> {
        self.client.run(|| Connection::patient(to).with_context(|| format!("connecting to {to}")))
    }

    /// One request from outside, on a new connection.
    pub(crate) fn ask(&self, to: SocketAddr) -> Result<Answer> {
        self.open(to)?.get().with_context(|| format!("asking {to} from outside"))
    }

    /// Whether both families reach the application from outside.
    pub(crate) fn expect_real(&self) -> Result<()> {
        for to in [self.v4(), self.v6()] {
            let answer = self.ask(to)?;
            ensure!(answer.is_real(), "{to} answered {answer:?} instead of the application");
        }
        Ok(())
    }

    /// Asks from outside as an impatient client does, and tells whether the application answered.
    pub(crate) fn is_real_now(&self, patience: std::time::Duration) -> Result<bool> {
        self.client.run(|| {
            let asked = Connection::open(self.v4(), patience).and_then(|mut connection| connection.get());
            Ok(asked.is_ok_and(|answer| answer.is_real()))
        })
    }

    /// One request by a process of that cgroup inside the target's network namespace.
    pub(crate) fn ask_inside(&self, group: &Cgroup, to: SocketAddr) -> Result<Seen> {
        let output = self.target.run(|| {
            let mut client = Command::new("/proc/self/exe");
            client.arg("ask").arg("--cgroup").arg(&group.path).args(["--to", &to.to_string()]);
            client.output().context("starting a client inside")
        })?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "a client inside failed: {}", said.trim());
        serde_json::from_slice(&output.stdout).context("reading what a client inside saw")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Err(why) = self.application.kill().and_then(|()| self.application.wait()) {
            eprintln!("ending the application: {why}");
        }
    }
}

fn start_application(group: &Cgroup) -> Result<Child> {
    let mut application = Command::new("/proc/self/exe")
        .arg("serve")
        .arg("--cgroup")
        .arg(&group.path)
        .args(["--port", &PORT.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the application")?;
    let mut said = [0; READY.len()];
    let output = application.stdout.as_mut().context("the application has no output")?;
    output.read_exact(&mut said).context("waiting for the application")?;
    ensure!(said == READY.as_bytes(), "the application did not start");
    Ok(application)
}
