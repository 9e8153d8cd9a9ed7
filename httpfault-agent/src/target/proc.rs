//! Containers without the Docker engine: by their full id in /proc/<pid>/cgroup.

use anyhow::{Context as _, ensure};
use procfs::process::Process;

use super::Container;

/// Length of a full container id, hexadecimal digits.
const ID_LENGTH: usize = 64;

/// A container by its full id.
pub(super) fn container(id: &str) -> anyhow::Result<Container> {
    pid(id)?;
    Ok(Container { id: id.to_owned(), name: id.get(..12).unwrap_or(id).to_owned(), task: None })
}

/// The first process of a container.
pub(super) fn pid(id: &str) -> anyhow::Result<u32> {
    let full = id.len() == ID_LENGTH && id.chars().all(|c| c.is_ascii_hexdigit());
    ensure!(
        full,
        "without the Docker engine, a container is found only by its full id of {ID_LENGTH} hex digits"
    );
    let in_container = |process: &Process| {
        process.cgroups().is_ok_and(|groups| groups.into_iter().any(|group| group.pathname.contains(id)))
    };
    let first = procfs::process::all_processes()?
        .filter_map(Result::ok)
        .filter(in_container)
        .min_by_key(|process| process.pid)
        .context("no process is in a cgroup of this container")?;
    Ok(u32::try_from(first.pid)?)
}
