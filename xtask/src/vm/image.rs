//! The initial file system of a machine: the agent, init, and modules. Nothing else.

use std::{fs, io::Write as _, path::Path};

use anyhow::{Context, Result};
use cpio::newc::{Builder, ModeFileType, trailer};

use super::modules::Module;

/// Writes the image. The names of modules begin with their place in the order of loading.
pub(super) fn write(path: &Path, init: &Path, agent: &Path, modules: Vec<Module>) -> Result<()> {
    let mut files = Vec::new();
    for (name, program) in [("init", init), ("httpfault-agent", agent)] {
        let content = fs::read(program).with_context(|| format!("reading {}", program.display()))?;
        files.push((name.to_owned(), content));
    }
    for (place, Module { name, content }) in modules.into_iter().enumerate() {
        files.push((format!("{place:02}-{name}.ko"), content));
    }
    fs::write(path, archive(&files)?).with_context(|| format!("writing {}", path.display()))
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
