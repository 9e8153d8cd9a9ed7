//! A host's mount namespace. It belongs to a thread that does nothing but start the host's scripts: a child process is
//! born into the namespaces, the umask and the root of the thread that starts it.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, mpsc};
use std::thread::{self, JoinHandle};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{Mode, umask};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::PRIVATE;
use crate::world::HostSetup;

/// Held for writing while a process is started, for reading while a script is written.
pub(super) static FORKING: RwLock<()> = RwLock::new(());

/// A running host.
#[derive(Debug)]
pub(super) struct Host {
    starter: mpsc::Sender<Start>,
    thread: JoinHandle<()>,
    /// Inode of the namespace, by which its processes are found.
    pub(super) mount_namespace: u64,
    run: PathBuf,
}

struct Start {
    command: Command,
    runtime: Handle,
    answer: oneshot::Sender<io::Result<Child>>,
}

impl Host {
    /// Makes the namespace. `directory` holds what the host's private directories are backed by.
    pub(super) fn start(directory: &Path, setup: &HostSetup) -> io::Result<Self> {
        let (starter, requests) = mpsc::channel::<Start>();
        let (ready, entered) = mpsc::sync_channel(1);
        let (root, setup) = (directory.join("root"), setup.clone());
        let run = backing(&root, Path::new(PRIVATE[0]));
        let thread = thread::Builder::new().name("simulated-host".to_owned()).spawn(move || {
            let result = enter(&root, &setup);
            let entered = result.is_ok();
            // The receiver waits; and if it were gone, nobody would need this thread.
            if ready.send(result).is_err() || !entered {
                return;
            }
            for Start { mut command, runtime, answer } in requests {
                let _runtime = runtime.enter();
                let _nobody_writes = FORKING.write().unwrap_or_else(PoisonError::into_inner);
                // A receiver that is gone gave up; the child's handle is dropped and the census finds the process.
                drop(answer.send(command.spawn()));
            }
        })?;
        let mount_namespace = entered.recv().map_err(io::Error::other)??;
        Ok(Host { starter, thread, mount_namespace, run })
    }

    /// Starts a process on the host.
    pub(super) async fn spawn(&self, command: Command) -> io::Result<Child> {
        let (answer, started) = oneshot::channel();
        let start = Start { command, runtime: Handle::current(), answer };
        if self.starter.send(start).is_err() {
            return Err(io::Error::other("the thread of the simulated host has ended"));
        }
        started.await.map_err(io::Error::other)?
    }

    /// Starts nothing any more. What was started goes on.
    pub(super) fn close(self) {
        drop(self.starter);
        // It can only have panicked because the runtime of a process that it was starting had ended.
        let _ = self.thread.join();
    }

    /// /run is in memory: a reboot empties it.
    pub(super) fn empty_run(&self) {
        let Ok(entries) = fs::read_dir(&self.run) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            // What can't be removed is seen by the test that looks for it.
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
}

/// Moves the calling thread into a mount namespace of its own and returns the namespace's inode.
fn enter(root: &Path, setup: &HostSetup) -> io::Result<u64> {
    let doing = |what: String| {
        move |source: nix::Error| io::Error::new(io::Error::from(source).kind(), format!("{what}: {source}"))
    };
    if let Some(path) = &setup.network_namespace {
        let namespace = fs::File::open(path)?;
        setns(namespace, CloneFlags::CLONE_NEWNET).map_err(doing(format!("entering {}", path.display())))?;
    }
    unshare(CloneFlags::CLONE_NEWNS).map_err(doing("making a mount namespace (needs root)".to_owned()))?;
    // Mounts made on the machine later, such as those of containers, are seen here; ours are not seen there.
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)
        .map_err(doing("mount --make-rslave /".to_owned()))?;
    for path in PRIVATE.iter().map(PathBuf::from).chain(setup.private_dirs.iter().cloned()) {
        let own = backing(root, &path);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&own)?;
        let what = format!("giving the simulated host its own {}", path.display());
        mount(Some(&own), &path, none, MsFlags::MS_BIND, none).map_err(doing(what))?;
    }
    umask(Mode::from_bits_truncate(0o022));
    Ok(fs::metadata("/proc/thread-self/ns/mnt")?.ino())
}

fn backing(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}
