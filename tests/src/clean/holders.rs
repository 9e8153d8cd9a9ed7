//! Who has kernel programs and links open: a program is there for as long as a descriptor of it, or of its link, or what
//! it is attached to.

use std::{
    collections::BTreeSet,
    fmt, fs,
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt as _,
};

use anyhow::{Context, Result};

/// A process that has some open.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) pid: i32,
    name: String,
    pub(super) programs: BTreeSet<u32>,
    pub(super) links: BTreeSet<u32>,
}

/// All that have some open, of those that may be looked at.
pub(super) fn all() -> Result<Vec<Holder>> {
    let processes = procfs::process::all_processes().context("listing processes")?;
    let mut all = Vec::new();
    for process in processes.flatten() {
        let holder = Holder::of(process.pid)?;
        all.extend(holder.filter(|holder| !holder.programs.is_empty() || !holder.links.is_empty()));
    }
    Ok(all)
}

/// Those of these processes that are in another mount namespace than this one.
pub(super) fn elsewhere(pids: &BTreeSet<i32>) -> Result<Vec<Holder>> {
    let here = fs::metadata("/proc/self/ns/mnt").context("looking at this mount namespace")?.ino();
    let mut others = Vec::new();
    for pid in pids {
        // One that has ended is nobody's.
        let mounts = fs::metadata(format!("/proc/{pid}/ns/mnt"));
        if mounts.is_ok_and(|mounts| mounts.ino() != here) {
            others.extend(Holder::of(*pid)?);
        }
    }
    Ok(others)
}

impl Holder {
    /// `None` where it has ended, or hides what it has even from root, as a machine's first process may.
    fn of(pid: i32) -> Result<Option<Self>> {
        match Self::read(pid) {
            Ok(holder) => Ok(Some(holder)),
            Err(why)
                if matches!(why.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied)
                    || why.raw_os_error() == Some(nix::libc::ESRCH) =>
            {
                Ok(None)
            }
            Err(why) => Err(why).with_context(|| format!("looking at what process {pid} has open")),
        }
    }

    fn read(pid: i32) -> io::Result<Self> {
        let name = fs::read_to_string(format!("/proc/{pid}/comm"))?.trim_end().to_owned();
        let mut holder = Self { pid, name, programs: BTreeSet::new(), links: BTreeSet::new() };
        for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
            // One that was closed meanwhile has nothing open.
            let info = fs::read_to_string(entry?.path()).unwrap_or_default();
            holder.programs.extend(number(&info, "prog_id:"));
            holder.links.extend(number(&info, "link_id:"));
        }
        Ok(holder)
    }
}

/// Of the line that begins so (`bpf_prog_show_fdinfo()` and `bpf_link_show_fdinfo()` in kernel/bpf/syscall.c).
fn number(info: &str, begins: &str) -> Option<u32> {
    info.lines().find_map(|line| line.strip_prefix(begins))?.trim().parse().ok()
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.pid)
    }
}
