//! Where the agent keeps its state: a small file system of this process and its children alone, so that it can be filled
//! and emptied.

use std::{
    fs::{self, DirBuilder, File},
    io::{ErrorKind, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
};

use anyhow::{Context, Result, ensure};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

const STATE: &str = "/run/httpfault";
/// Not counted as state of a fault.
const FILLING: &str = "/run/httpfault/.filling";
const SIZE: &str = "size=128k,mode=700";

/// To be called before there are threads.
pub(crate) fn enter() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("making a mount namespace")?;
    let nothing = None::<&str>;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)
        .context("keeping mounts private")?;
    match DirBuilder::new().mode(0o700).create(STATE) {
        Err(why) if why.kind() != ErrorKind::AlreadyExists => {
            return Err(why).with_context(|| format!("making {STATE}"));
        }
        _ => {}
    }
    mount(Some("httpfault-chaos"), STATE, Some("tmpfs"), MsFlags::empty(), Some(SIZE))
        .with_context(|| format!("mounting a small file system on {STATE}"))
}

/// Leaves no room.
pub(crate) fn fill() -> Result<()> {
    let mut file = File::create(FILLING).with_context(|| format!("creating {FILLING}"))?;
    loop {
        match file.write(&[0; 4096]) {
            Ok(1..) => {}
            Ok(0) => anyhow::bail!("{FILLING} takes no more bytes, and says no why"),
            Err(why) if why.kind() == ErrorKind::StorageFull => return Ok(()),
            Err(why) => return Err(why).with_context(|| format!("filling {STATE}")),
        }
    }
}

/// Makes room again.
pub(crate) fn empty() -> Result<()> {
    fs::remove_file(FILLING).with_context(|| format!("removing {FILLING}"))
}

/// Takes everything away, what is in use too.
pub(crate) fn clear() -> Result<()> {
    for entry in fs::read_dir(STATE).with_context(|| format!("reading {STATE}"))? {
        let path = entry?.path();
        remove(&path).with_context(|| format!("removing {}", path.display()))?;
    }
    let left = fs::read_dir(STATE)?.count();
    ensure!(left == 0, "{left} entries appeared in {STATE} while it was emptied");
    Ok(())
}

fn remove(path: &Path) -> std::io::Result<()> {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}
