//! Network namespaces: found through a process, entered only on threads made for it.
//!
//! A socket keeps the namespace that its thread was in when it was made; the agent itself never leaves its own.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    sync::mpsc,
    thread,
};

use anyhow::Context as _;
use nix::sched::{CloneFlags, setns};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{Mutex, oneshot};

/// Name of the threads inside.
const THREAD: &str = "httpfault-netns";

/// An open network namespace. Holding it keeps the namespace alive, so it goes when the target goes.
#[derive(Debug)]
pub(crate) struct Netns {
    file: File,
    inode: u64,
}

impl Netns {
    /// The namespace of a process.
    pub(crate) fn of_process(pid: u32) -> io::Result<Self> {
        let file = File::open(format!("/proc/{pid}/ns/net"))?;
        let inode = file.metadata()?.ino();
        Ok(Self { file, inode })
    }

    /// A second descriptor of it, for another process.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }

    /// Identifies the namespace while it exists.
    pub(crate) fn inode(&self) -> u64 {
        self.inode
    }

    /// Runs `work` inside the namespace, on a thread made for it.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let thread = thread::Builder::new().name(THREAD.into()).spawn_scoped(scope, || {
                setns(&self.file, CloneFlags::CLONE_NEWNET)?;
                Ok(work())
            })?;
            thread.join().unwrap_or_else(|_panicked| Err(io::Error::other("the namespace's thread panicked")))
        })
    }

    /// Starts a thread that makes sockets inside the namespace for as long as its handle lives. When it is inside it
    /// calls `inside`, before anything else.
    pub(crate) fn socket_maker(
        self,
        inside: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<SocketMaker> {
        let file = self.file;
        let (orders, inbox) = mpsc::channel::<Order>();
        let (entered, outcome) = mpsc::channel();
        thread::Builder::new().name(THREAD.into()).spawn(move || {
            let arrived = setns(&file, CloneFlags::CLONE_NEWNET).context("entering it");
            drop(file);
            let arrived = arrived.and_then(|()| inside());
            let ready = arrived.is_ok();
            if entered.send(arrived).is_err() || !ready {
                return;
            }
            for Order { domain, count, reply } in inbox {
                // A caller that gave up drops the sockets with the channel.
                let _unwanted = reply.send(make(domain, count));
            }
        })?;
        outcome.recv().context("starting a thread in the namespace")??;
        Ok(SocketMaker { orders, stock4: Mutex::default(), stock6: Mutex::default() })
    }
}

impl TryFrom<OwnedFd> for Netns {
    type Error = io::Error;

    fn try_from(descriptor: OwnedFd) -> io::Result<Self> {
        let file = File::from(descriptor);
        let inode = file.metadata()?.ino();
        Ok(Self { file, inode })
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Makes TCP sockets inside one namespace. To ask its thread costs more than a socket, so that who asks often gets
/// several, and the others find them in stock.
#[derive(Debug)]
pub(crate) struct SocketMaker {
    orders: mpsc::Sender<Order>,
    stock4: Mutex<Stock>,
    stock6: Mutex<Stock>,
}

/// As many sockets are asked for at most.
const MOST_AT_ONCE: usize = 16;

/// Sockets of one family.
#[derive(Debug, Default)]
struct Stock {
    ready: Vec<Socket>,
    /// How many were asked for the last time.
    asked: usize,
}

struct Order {
    domain: Domain,
    count: usize,
    reply: oneshot::Sender<io::Result<Vec<Socket>>>,
}

impl SocketMaker {
    /// A new socket that does not block, blocking no runtime thread.
    pub(crate) async fn socket(&self, domain: Domain) -> io::Result<Socket> {
        let stock = if domain == Domain::IPV4 { &self.stock4 } else { &self.stock6 };
        let mut stock = stock.lock().await;
        if let Some(ready) = stock.ready.pop() {
            return Ok(ready);
        }
        let count = (stock.asked * 2).clamp(1, MOST_AT_ONCE);
        let (reply, made) = oneshot::channel();
        let gone = |_gone| io::Error::other("the namespace was left");
        self.orders.send(Order { domain, count, reply }).map_err(gone)?;
        stock.ready = made.await.map_err(io::Error::other)??;
        stock.asked = count;
        stock.ready.pop().ok_or_else(|| io::Error::other("no socket was made"))
    }
}

/// At least one, or why not.
fn make(domain: Domain, count: usize) -> io::Result<Vec<Socket>> {
    let one = || Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP));
    let mut made = vec![one()?];
    made.extend((1..count).map_while(|_| one().ok()));
    Ok(made)
}
