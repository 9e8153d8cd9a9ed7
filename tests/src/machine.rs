//! One test at a time has the machine: `/run/httpfault`, the list of kernel programs and the two cores are shared.

use std::{
    fs::{self, File},
    path::PathBuf,
};

use anyhow::{Context, Result};

/// Held by a test for its whole life. Locks of different test processes exclude each other too.
#[derive(Debug)]
pub struct Machine {
    _lock: File,
}

impl Machine {
    /// Waits for its turn.
    pub fn take() -> Result<Self> {
        Ok(Self { _lock: locked("tests.lock")? })
    }
}

/// The directory of everything that lives longer than one test process.
pub fn directory() -> Result<PathBuf> {
    let directory = std::env::temp_dir().join("httpfault-tests");
    fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    Ok(directory)
}

/// Waits for the lock on a file of that name; it is released when the file is dropped or the process dies.
pub fn locked(name: &str) -> Result<File> {
    let path = directory()?.join(name);
    let file = File::options().create(true).append(true).open(&path);
    let file = file.with_context(|| format!("opening {}", path.display()))?;
    file.lock().with_context(|| format!("locking {}", path.display()))?;
    Ok(file)
}
