//! The directories over which every host mounts its own must exist on the machine. Simulators that run at the same time
//! share them through a lock on the directory; the last one removes what is empty.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use thiserror::Error;

/// A directory that stays while this value lives.
#[derive(Debug)]
pub(crate) struct Mountpoint {
    path: PathBuf,
    /// `None` only while dropping.
    lock: Option<Flock<File>>,
}

/// The directory can't be made.
#[derive(Debug, Error)]
#[error("making {path} for the simulated hosts; running scripts needs root, a stub does not")]
pub struct MountpointError {
    path: PathBuf,
    source: io::Error,
}

impl Mountpoint {
    pub(crate) fn keep(path: &Path) -> Result<Self, MountpointError> {
        let problem = |source| MountpointError { path: path.to_owned(), source };
        loop {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(problem)?;
            let directory = match File::open(path) {
                Ok(directory) => directory,
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(problem(source)),
            };
            let lock = Flock::lock(directory, FlockArg::LockShared)
                .map_err(|(_, source)| problem(io::Error::from(source)))?;
            // Another simulator may have removed it between creation and lock.
            let locked = lock.metadata().map_err(problem)?.ino();
            if fs::metadata(path).is_ok_and(|now| now.ino() == locked) {
                return Ok(Mountpoint { path: path.to_owned(), lock: Some(lock) });
            }
        }
    }
}

impl Drop for Mountpoint {
    fn drop(&mut self) {
        let Some(lock) = self.lock.take() else { return };
        let Ok(directory) = lock.unlock() else { return };
        if let Ok(_alone) = Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            // Fails if it is not empty, and then it is not ours to remove.
            let _ = fs::remove_dir(&self.path);
        }
    }
}
