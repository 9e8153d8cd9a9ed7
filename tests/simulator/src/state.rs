//! What all requests and hosts of one simulator share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use crate::call::Call;
use crate::faults::Faults;
use crate::host::Hosts;
use crate::identity::KeyRing;
use crate::ssm::{Command, Execution, Timing};
use crate::world::World;

/// What changes.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) keys: KeyRing,
    pub(crate) faults: Faults,
    pub(crate) calls: Vec<Call>,
    /// What was put into S3, by bucket and key.
    pub(crate) stored: BTreeMap<String, Bytes>,
    pub(crate) commands: Vec<Command>,
    /// Tokens given out by the instance metadata endpoint.
    pub(crate) metadata_tokens: Vec<(String, Instant)>,
    /// How long credentials from the two credential endpoints live.
    pub(crate) credential_lifetime: Duration,
}

/// The state, its lock, and those who wait for it to change.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    version: watch::Sender<u64>,
    pub(crate) hosts: Hosts,
    pub(crate) timing: Timing,
    pub(crate) execution: Execution,
}

impl Shared {
    pub(crate) fn new(world: World, timing: Timing, execution: Execution, directory: PathBuf) -> Self {
        let state = State {
            keys: KeyRing::of(&world),
            world,
            faults: Faults::default(),
            calls: Vec::new(),
            stored: BTreeMap::new(),
            commands: Vec::new(),
            metadata_tokens: Vec::new(),
            credential_lifetime: Duration::from_secs(3600),
        };
        Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            version: watch::Sender::new(0),
            hosts: Hosts::new(directory),
            timing,
            execution,
        }
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the state and wakes whoever waits for a change.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        self.version.send_modify(|version| *version += 1);
        result
    }

    /// Blocks until `look` finds something; `None` after `timeout`.
    pub(crate) fn wait<T>(&self, timeout: Duration, mut look: impl FnMut(&State) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&state) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The same for tasks of the simulator, without a limit.
    pub(crate) async fn until<T>(&self, mut look: impl FnMut(&State) -> Option<T>) -> T {
        let mut version = self.version.subscribe();
        loop {
            version.mark_unchanged();
            if let Some(found) = self.read(&mut look) {
                return found;
            }
            // The sender is part of `self`, so this can't fail while we are here.
            if version.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// A panic in a test's closure must not make every later request fail in another way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(crate) fn command_mut(&mut self, id: &str) -> Option<&mut Command> {
        self.commands.iter_mut().find(|command| command.id == id)
    }
}
