//! TCP sockets of a namespace, and which process holds which.

mod diag;

use std::{
    collections::{HashMap, HashSet},
    mem::MaybeUninit,
    net::SocketAddr,
};

use anyhow::Context as _;
pub(crate) use diag::Lookup;
use diag::{Found, Port, States};
use procfs::process::Process;
use rustix::{
    fs::{Dir, Mode, OFlags, readlinkat_raw},
    process::{PidfdFlags, PidfdGetfdFlags},
};
use socket2::Socket;

use crate::netns::Netns;

/// A listening socket.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    /// IPV6_V6ONLY.
    pub(crate) only_v6: bool,
    pub(crate) inode: u64,
}

/// An established connection. IPv4-mapped IPv6 addresses are the IPv4 addresses that they carry.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) inode: u64,
    /// SO_COOKIE: no other socket has it until the next boot.
    pub(crate) cookie: u64,
}

/// Every listening socket in a namespace.
pub(crate) fn listeners(netns: &Netns) -> anyhow::Result<Vec<Listener>> {
    let found = diag::dump(netns, States::Listening, Port::Any)?.into_iter();
    Ok(found
        .map(|socket| Listener { address: socket.local, only_v6: socket.only_v6, inode: socket.inode })
        .collect())
}

/// Every established connection in a namespace whose own port is this one.
pub(crate) fn established(netns: &Netns, port: u16) -> anyhow::Result<Vec<Connection>> {
    Ok(connections(diag::dump(netns, States::Established, Port::Own(port))?))
}

/// Every established connection in a namespace whose peer's port is this one.
pub(crate) fn connected_to(netns: &Netns, port: u16) -> anyhow::Result<Vec<Connection>> {
    Ok(connections(diag::dump(netns, States::Established, Port::Peers(port))?))
}

/// Whether a client's handshake with this port is under way in a namespace.
pub(crate) fn handshakes(netns: &Netns, port: u16) -> anyhow::Result<bool> {
    Ok(!diag::dump(netns, States::Handshake, Port::Own(port))?.is_empty())
}

fn connections(found: Vec<Found>) -> Vec<Connection> {
    let connection = |socket: Found| Connection {
        local: canonical(socket.local),
        remote: canonical(socket.remote),
        inode: socket.inode,
        cookie: socket.cookie,
    };
    found.into_iter().map(connection).collect()
}

/// A file descriptor of another process that is a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) pid: u32,
    fd: i32,
}

/// Which of the wanted sockets these processes hold, by inode. A process may hold tens of thousands of others: the search
/// ends with the last that is wanted. Processes that end meanwhile, and descriptors that close, are left out.
pub(crate) fn held_by<'a>(
    processes: impl IntoIterator<Item = &'a Process>,
    wanted: &HashSet<u64>,
) -> HashMap<u64, Held> {
    let mut held = HashMap::new();
    for process in processes {
        if held.len() == wanted.len() {
            break;
        }
        // Nothing is left of it.
        let _ended = add_held(process.pid, wanted, &mut held);
    }
    held
}

fn add_held(pid: i32, wanted: &HashSet<u64>, held: &mut HashMap<u64, Held>) -> anyhow::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(format!("/proc/{pid}/fd"), flags, Mode::empty())?;
    let number = u32::try_from(pid)?;
    let mut room = [MaybeUninit::uninit(); LINK];
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let Ok((link, _)) = readlinkat_raw(&directory, entry.file_name(), &mut room) else { continue };
        let Some(inode) = inode_of(link).filter(|inode| wanted.contains(inode)) else { continue };
        let Some(fd) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) else { continue };
        held.insert(inode, Held { pid: number, fd });
        if held.len() == wanted.len() {
            break;
        }
    }
    Ok(())
}

/// Longer than any link to a socket.
const LINK: usize = 64;

/// `socket:[42]`
fn inode_of(link: &[u8]) -> Option<u64> {
    let number = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    str::from_utf8(number).ok()?.parse().ok()
}

/// Who holds a socket, for messages: `nginx (pid 42)`.
pub(crate) fn owner_of(inode: u64) -> Option<String> {
    let processes: Vec<Process> = procfs::process::all_processes().ok()?.filter_map(Result::ok).collect();
    held_by(&processes, &HashSet::from([inode])).get(&inode).map(|held| name_of(held.pid))
}

/// A process for messages: `nginx (pid 42)`.
pub(crate) fn name_of(pid: u32) -> String {
    let name =
        i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok()?.stat().ok()).map(|stat| stat.comm);
    format!("{} (pid {pid})", name.as_deref().unwrap_or("a process that ended"))
}

impl Held {
    /// Its number in the process that holds it.
    pub(crate) fn descriptor(self) -> i32 {
        self.fd
    }

    /// A second descriptor of the same socket. Give it back (drop it) at once: while it is open the application's own
    /// close() does not close the connection.
    pub(crate) fn borrow(self) -> anyhow::Result<Socket> {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.pid)?).context("no process has pid 0")?;
        let process = rustix::process::pidfd_open(pid, PidfdFlags::empty())
            .with_context(|| format!("opening process {pid:?}"))?;
        let socket = rustix::process::pidfd_getfd(process, self.fd, PidfdGetfdFlags::empty())
            .with_context(|| format!("borrowing socket {} of {}", self.fd, name_of(self.pid)))?;
        Ok(Socket::from(socket))
    }
}

/// IPv4-mapped IPv6 addresses as the IPv4 addresses that they carry.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::fd::AsRawFd as _, os::linux::fs::MetadataExt as _};

    use super::*;

    #[test]
    fn only_wanted_sockets_are_found() {
        let [one, _other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let inode = std::fs::metadata(format!("/proc/self/fd/{}", one.as_raw_fd())).unwrap().st_ino();
        let held = held_by(&[Process::myself().unwrap()], &HashSet::from([inode, 1]));
        assert_eq!(held.len(), 1, "{held:?}");
        assert_eq!(held[&inode].descriptor(), one.as_raw_fd());
        assert_eq!(held[&inode].pid, std::process::id());
    }

    #[test]
    fn links_of_other_kinds_are_no_sockets() {
        assert_eq!(inode_of(b"socket:[42]"), Some(42));
        assert_eq!(inode_of(b"pipe:[42]"), None);
        assert_eq!(inode_of(b"/dev/null"), None);
    }
}
