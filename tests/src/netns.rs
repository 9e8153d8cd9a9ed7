//! Network namespaces: made, linked, entered, removed.

use std::{
    ffi::OsStr,
    fs::File,
    net::{Ipv4Addr, Ipv6Addr},
    ops::Deref,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns};
use procfs::process::Process;

use crate::command::output;

/// A namespace that somebody else owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    path: PathBuf,
}

impl Namespace {
    /// The namespace that this file stands for, such as one below /run/netns.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The namespace of a process, while that lives.
    pub fn of(pid: u32) -> Self {
        Self::at(format!("/proc/{pid}/ns/net"))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that will run inside, in this process's cgroup; its process id is the program's own.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path.display())).arg("--").arg(program);
        command
    }

    /// Runs `work` on a thread of its own that has entered the namespace. Sockets made there stay there.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                self.enter()?;
                work()
            });
            worker
                .join()
                .map_err(|panic| anyhow!("the thread inside {} panicked: {panic:?}", self.path.display()))?
        })
    }

    /// Moves the calling thread inside, for good.
    pub fn enter(&self) -> Result<()> {
        let file = File::open(&self.path).with_context(|| format!("opening {}", self.path.display()))?;
        setns(file, CloneFlags::CLONE_NEWNET).with_context(|| format!("entering {}", self.path.display()))
    }

    /// A counter of the namespace's TCP, named as `nstat` names it, since the namespace was made.
    pub fn counter(&self, name: &str) -> Result<u64> {
        let text = output(self.command("nstat").args(["-asz", "--json"]))?;
        let all: serde_json::Value = serde_json::from_str(&text).context("reading nstat's JSON")?;
        all["kernel"][name].as_u64().with_context(|| format!("nstat has no counter {name}"))
    }

    /// Whether somebody listens on that TCP port inside.
    pub fn listens(&self, port: u16) -> Result<bool> {
        let listeners = output(self.command("ss").args(["-Hltn", &format!("sport = :{port}")]))?;
        Ok(!listeners.trim().is_empty())
    }

    /// The kernel's number of the namespace: two paths to one namespace have the same.
    pub fn inode(&self) -> Result<u64> {
        use std::os::unix::fs::MetadataExt;
        let data =
            std::fs::metadata(&self.path).with_context(|| format!("looking at {}", self.path.display()))?;
        Ok(data.ino())
    }
}

/// Processes that live in the namespace with that [`Namespace::inode`].
pub fn inhabitants(inode: u64) -> Result<Vec<i32>> {
    let lives_there = |process: &Process| {
        process
            .namespaces()
            .is_ok_and(|all| all.0.values().any(|ns| ns.identifier == inode && ns.ns_type == "net"))
    };
    let all = procfs::process::all_processes().context("listing processes")?;
    Ok(all.flatten().filter(lives_there).map(|process| process.pid).collect())
}

/// A namespace made for a test.
#[derive(Debug)]
pub struct Netns {
    name: String,
    namespace: Namespace,
}

impl Netns {
    /// Makes a namespace whose loopback is up. The name carries `label`, to be recognised in `ip netns`.
    pub fn create(label: &str) -> Result<Self> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        Self::named(&crate::machine::name(label, SERIAL.fetch_add(1, Ordering::Relaxed)))
    }

    /// As [`Netns::create`], with exactly that name.
    pub fn named(name: &str) -> Result<Self> {
        output(Command::new("ip").args(["netns", "add", name]))?;
        let namespace = Namespace::at(Path::new("/run/netns").join(name));
        let netns = Self { name: name.to_owned(), namespace };
        output(netns.command("ip").args(["link", "set", "lo", "up"]))?;
        Ok(netns)
    }
}

impl Deref for Netns {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.namespace
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if let Err(error) = output(Command::new("ip").args(["netns", "delete", &self.name])) {
            eprintln!("removing network namespace {}: {error:#}", self.name);
        }
    }
}

/// Removes the namespaces of test processes that were killed before they could.
pub fn sweep() -> Result<()> {
    let Ok(names) = std::fs::read_dir("/run/netns") else { return Ok(()) };
    for name in names.flatten().map(|entry| entry.file_name()) {
        if crate::machine::is_orphan(&name.to_string_lossy()) {
            output(Command::new("ip").args(["netns", "delete"]).arg(&name))?;
        }
    }
    Ok(())
}

/// One end of a virtual cable.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    pub namespace: &'a Namespace,
    pub interface: &'a str,
    pub v4: Ipv4Addr,
    pub v6: Ipv6Addr,
}

/// Connects two namespaces with a veth pair; both ends get a /24 and a /64.
pub fn connect(left: End<'_>, right: End<'_>) -> Result<()> {
    let peer = right.namespace.path().file_name().context("the other namespace has no name")?;
    let mut add = left.namespace.command("ip");
    add.args(["link", "add", left.interface, "type", "veth", "peer", "name", right.interface, "netns"])
        .arg(peer);
    output(&mut add)?;
    for End { namespace, interface, v4, v6 } in [left, right] {
        let ip = |args: &[&str]| output(namespace.command("ip").args(args));
        ip(&["address", "add", &format!("{v4}/24"), "dev", interface])?;
        // Without duplicate address detection, which would keep the address unusable for a second.
        ip(&["address", "add", &format!("{v6}/64"), "dev", interface, "nodad"])?;
        ip(&["link", "set", interface, "up"])?;
    }
    Ok(())
}
