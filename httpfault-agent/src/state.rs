//! What a run leaves on disk while it lives: `/run/httpfault/<experiment id>/`.
//!
//! `lock` is held by the agent for its whole life, so whether a fault is alive does not depend on what `state.json`
//! says; that file tells who it was.

mod holder;

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use httpfault_common::contract::{ExperimentId, Problem, RunSpec};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{last_word, netns::Netns, sockets};

/// Root of all state. On a tmpfs, so a reboot, which ends every fault, clears it too.
pub(crate) const ROOT: &str = "/run/httpfault";
const LOCK: &str = "lock";
const STATE: &str = "state.json";
const SOCKET: &str = "control.sock";

/// `state.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) experiment_id: ExperimentId,
    pub(crate) agent_pid: u32,
    pub(crate) deadline: Timestamp,
    pub(crate) port: u16,
    pub(crate) status_code: u16,
    /// Inodes of the targets' network namespaces.
    pub(crate) namespaces: Vec<u64>,
    /// What was asked for, to tell the same command again from another one with the same id.
    #[serde(default)]
    pub(crate) spec: Option<RunSpec>,
}

/// The right to run an experiment on this host, until it is released or the process ends.
#[derive(Debug)]
pub(crate) struct Claim {
    dir: PathBuf,
    _lock: File,
}

/// Why a claim was not given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("this experiment is running already")]
    AlreadyRunning,
    #[error("{0}")]
    Conflict(Problem),
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

/// One directory below [`ROOT`].
#[derive(Debug)]
pub(crate) struct Entry {
    /// Name of the directory: the experiment id, if nobody tampered with it.
    pub(crate) name: String,
    dir: PathBuf,
    /// Whether its agent lives.
    pub(crate) alive: bool,
    /// `None` where it is missing or damaged.
    pub(crate) state: Option<State>,
}

// === impl Claim ===

impl Claim {
    /// Claims the experiment id and the (namespace, port) pairs of `state`.
    pub(crate) fn take(state: State) -> Result<Self, Refusal> {
        let root = root()?;
        // Two agents that start at once look at each other's claims one after the other.
        let gate = open_lock(&root.join(".lock"))?;
        gate.lock().context("locking /run/httpfault/.lock")?;
        let entries = entries()?;
        if let Some(same) = entries.iter().find(|entry| entry.name == state.experiment_id.as_str()) {
            if same.alive {
                return Err(Refusal::AlreadyRunning);
            }
            same.sweep().context("sweeping up after an earlier run of the same experiment")?;
        }
        for namespace in &state.namespaces {
            if let Some(problem) = conflict_among(&entries, *namespace, state.port, &state.experiment_id) {
                return Err(Refusal::Conflict(problem));
            }
        }
        last_word::make_room(&state.experiment_id);
        let dir = root.join(state.experiment_id.as_str());
        create_private(&dir)?;
        match locked_with(&dir, &state) {
            Ok(lock) => Ok(Self { dir, _lock: lock }),
            Err(why) => {
                remove_dir(&dir).with_context(|| format!("giving up, because {why:#}"))?;
                Err(why.into())
            }
        }
    }

    /// Path of the control socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join(SOCKET)
    }

    /// Gives the claim back: nothing of the run is left on this host.
    pub(crate) fn release(self) -> anyhow::Result<()> {
        remove_dir(&self.dir)
    }
}

// === impl Entry ===

impl Entry {
    /// Path of the control socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join(SOCKET)
    }

    /// The process that holds the lock: its agent, whatever `state.json` says.
    pub(crate) fn holder(&self) -> Option<u32> {
        if self.is_lost() {
            let lost = holder::without_lock();
            return lost.into_iter().find(|(name, _)| *name == self.name).map(|(_, agent)| agent);
        }
        holder::of(&self.dir.join(LOCK))
    }

    /// Whether somebody removed what was on disk while its agent lives.
    pub(crate) fn is_lost(&self) -> bool {
        self.alive && !self.dir.join(LOCK).exists()
    }

    /// Looks again whether its agent lives, and whether the entry is still there.
    pub(crate) fn refresh(&self) -> anyhow::Result<Option<Self>> {
        Ok(all()?.into_iter().find(|entry| entry.name == self.name))
    }

    /// Removes what a dead agent left: its state. Everything else went with it.
    pub(crate) fn sweep(&self) -> anyhow::Result<()> {
        remove_dir(&self.dir)
    }
}

/// Every fault that has state on this host, damaged or not.
pub(crate) fn entries() -> anyhow::Result<Vec<Entry>> {
    let listing = match fs::read_dir(ROOT) {
        Ok(listing) => listing,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(why).with_context(|| format!("reading {ROOT}")),
    };
    let mut found = Vec::new();
    for entry in listing {
        let entry = entry.with_context(|| format!("reading {ROOT}"))?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let dir = entry.path();
        let state = fs::read(dir.join(STATE)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let alive = is_locked(&dir.join(LOCK));
        found.push(Entry { name: entry.file_name().to_string_lossy().into_owned(), dir, alive, state });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The same, and agents that live although their state was removed: they are looked for among all processes.
pub(crate) fn all() -> anyhow::Result<Vec<Entry>> {
    let mut found = entries()?;
    for (name, _) in holder::without_lock() {
        if !found.iter().any(|entry| entry.name == name && entry.alive) {
            found.retain(|entry| entry.name != name);
            found.push(Entry { dir: Path::new(ROOT).join(&name), name, alive: true, state: None });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The entry of one experiment.
pub(crate) fn entry(id: &ExperimentId) -> anyhow::Result<Option<Entry>> {
    Ok(entries()?.into_iter().find(|entry| entry.name == id.as_str()))
}

/// Whether another fault has this namespace and port already.
pub(crate) fn conflict(netns: &Netns, spec: &RunSpec) -> anyhow::Result<Option<Problem>> {
    Ok(conflict_among(&entries()?, netns.inode(), spec.port, &spec.experiment_id))
}

fn conflict_among(
    entries: &[Entry],
    namespace: u64,
    port: u16,
    experiment: &ExperimentId,
) -> Option<Problem> {
    let holds = |entry: &&Entry| {
        let state = entry.state.as_ref();
        entry.alive
            && entry.name != experiment.as_str()
            && state.is_some_and(|state| state.port == port && state.namespaces.contains(&namespace))
    };
    entries.iter().find(holds).map(|entry| Problem {
        subject: format!("port {port}"),
        problem: format!("experiment {} already has a fault in this namespace, on this port", entry.name),
        next: format!("wait for its end, or run `httpfault-agent remove --experiment-id {}`", entry.name),
    })
}

/// The root directory, made if needed; refused when anyone but root could have put something there.
fn root() -> anyhow::Result<PathBuf> {
    let root = PathBuf::from(ROOT);
    create_private(&root)?;
    let metadata = fs::symlink_metadata(&root).with_context(|| format!("looking at {ROOT}"))?;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if !metadata.is_dir() || !ours || metadata.permissions().mode() & 0o022 != 0 {
        bail!("{ROOT} is not a directory that only root can write to; look at who made it, then remove it");
    }
    Ok(root)
}

fn create_private(dir: &Path) -> anyhow::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(why) if why.kind() != io::ErrorKind::AlreadyExists => {
            Err(why).with_context(|| format!("making {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// Writes the state down under the lock of its directory.
fn locked_with(dir: &Path, state: &State) -> anyhow::Result<File> {
    let lock = open_lock(&dir.join(LOCK))?;
    // Whoever looks whether it is taken holds it, shared, for a moment.
    lock.lock().context("locking the experiment's state")?;
    write_whole(&dir.join(STATE), state)?;
    Ok(lock)
}

/// Whoever reads it reads all of it, or what was there before.
pub(crate) fn write_whole(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let mut fresh = path.to_owned();
    fresh.as_mut_os_string().push("~");
    fs::write(&fresh, serde_json::to_vec(value)?)
        .and_then(|()| fs::rename(&fresh, path))
        .with_context(|| format!("writing {}", path.display()))
}

fn open_lock(path: &Path) -> anyhow::Result<File> {
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    opened.with_context(|| format!("opening {}", path.display()))
}

fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
}

fn remove_dir(dir: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => {
            Err(why).with_context(|| format!("removing {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// A process for messages, see [`sockets::name_of`].
pub(crate) fn holder_name(entry: &Entry) -> String {
    entry.holder().map_or_else(|| "no process".into(), sockets::name_of)
}

/// Permissions of the control socket: root only.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o600))
}
