//! The initial file system of a machine: the agent, init, and modules; files of this machine where they are asked for.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::Path,
};

use anyhow::{Context, Result};
use cpio::newc::{Builder, ModeFileType, trailer};

use super::{
    modules::Module,
    tree::{Entry, Tree},
};

/// Writes the image. The names of modules begin with their place in the order of loading.
pub(super) fn write(
    path: &Path,
    init: &Path,
    agent: &Path,
    modules: Vec<Module>,
    tree: Option<&Tree>,
) -> Result<()> {
    let mut files = Vec::new();
    for (name, program) in [("init", init), ("httpfault-agent", agent)] {
        let content = fs::read(program).with_context(|| format!("reading {}", program.display()))?;
        files.push((name.to_owned(), content));
    }
    for (place, Module { name, content }) in modules.into_iter().enumerate() {
        files.push((format!("{place:02}-{name}.ko"), content));
    }
    let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    let mut image = BufWriter::new(file);
    image.write_all(&archive(&files)?)?;
    if let Some(tree) = tree {
        // The kernel unpacks one archive after the other.
        append(&mut image, tree)?;
    }
    image.flush().with_context(|| format!("writing {}", path.display()))
}

fn append(mut image: impl Write, tree: &Tree) -> Result<()> {
    for (inode, (path, entry)) in (1..).zip(tree.entries()) {
        let (kind, mode, content) = match entry {
            Entry::Directory => (ModeFileType::Directory, 0o755, Vec::new()),
            Entry::Link(to) => (ModeFileType::Symlink, 0o777, to.as_os_str().as_bytes().to_vec()),
            Entry::File => {
                let mode = fs::metadata(path)?.permissions().mode() & 0o7777;
                let content = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
                (ModeFileType::Regular, mode, content)
            }
        };
        let name = path.strip_prefix("/").unwrap_or(path);
        let name = name.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
        let entry = Builder::new(name).ino(inode).mode(mode).set_mode_file_type(kind);
        let mut writer = entry.write(&mut image, u32::try_from(content.len())?);
        writer.write_all(&content)?;
        writer.finish()?;
    }
    trailer(&mut image)?;
    Ok(())
}

fn archive(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let mut archive = Vec::new();
    for (inode, (name, content)) in (1..).zip(files) {
        let entry = Builder::new(name).ino(inode).mode(0o755).set_mode_file_type(ModeFileType::Regular);
        let mut writer = entry.write(&mut archive, u32::try_from(content.len())?);
        writer.write_all(content)?;
        writer.finish()?;
    }
    trailer(&mut archive)?;
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_holds_executable_files_in_order() {
        let files = [("init".to_owned(), b"program".to_vec()), ("00-veth.ko".to_owned(), vec![7; 9])];
        let archive = archive(&files).unwrap();
        let mut reader = cpio::NewcReader::new(archive.as_slice()).unwrap();
        for (name, content) in &files {
            assert_eq!((reader.entry().name(), reader.entry().mode()), (name.as_str(), 0o100_755));
            assert_eq!(reader.entry().file_size() as usize, content.len());
            reader = cpio::NewcReader::new(reader.finish().unwrap()).unwrap();
        }
        assert!(reader.entry().is_trailer());
    }
}
