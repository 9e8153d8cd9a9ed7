//! Container metadata files (ECS_ENABLE_CONTAINER_METADATA), which the ECS agent writes.
//!
//! Each lies in a directory that is mounted, writable, into its container. So whatever a file is and says may be the
//! container's work: links are not followed, devices and pipes not opened, and a task is believed only where its own
//! directory is, which no container can make.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use serde::Deserialize;

use super::{Container, ecs::names};

const FILE: &str = "ecs-container-metadata.json";
/// The ECS agent writes a few kilobytes.
const MAX_BYTES: u64 = 64 * 1024;
/// Entries of one directory that are looked at; a host has at most some hundred tasks.
const MAX_ENTRIES: usize = 4096;

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "TaskARN")]
    task_arn: String,
    #[serde(rename = "ContainerID")]
    container_id: String,
    #[serde(rename = "ContainerName")]
    container_name: String,
}

/// The containers of a task.
pub(super) fn containers(task: &str, data_dir: &Path) -> anyhow::Result<Vec<Container>> {
    let root = data_dir.join("metadata");
    let mut found = Vec::new();
    for directory in container_directories(&root).with_context(|| format!("reading {}", root.display()))? {
        // A file that is being written, of a task that ends, or not of the ECS agent, is not the one looked for.
        let Some(metadata) = read(&directory.join(FILE)).ok().flatten() else { continue };
        if names(&metadata.task_arn, task) && lies_below(&directory, &metadata.task_arn) {
            found.push(Container {
                id: metadata.container_id,
                name: metadata.container_name,
                task: Some(metadata.task_arn),
            });
        }
    }
    ensure!(!found.is_empty(), "no file under {} is of this task", root.display());
    Ok(found)
}

/// Whether a container's directory is in the directory of the task that its file names.
fn lies_below(directory: &Path, task_arn: &str) -> bool {
    let parent = directory.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    parent.is_some() && parent == task_arn.rsplit('/').next()
}

fn read(path: &Path) -> io::Result<Option<Metadata>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(open(path, flags, Mode::empty())?);
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let mut text = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).ok())
}

/// `<cluster>/<task>/<container>`; without the cluster for short ARNs.
fn container_directories(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for outer in directories(root)? {
        for middle in directories(&outer)? {
            found.extend(directories(&middle)?);
            found.push(middle);
        }
    }
    Ok(found)
}

fn directories(parent: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(parent)?.take(MAX_ENTRIES).filter_map(Result::ok);
    // The type of the entry itself, not of what a link leads to.
    let own = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    Ok(own.map(|entry| entry.path()).collect())
}
