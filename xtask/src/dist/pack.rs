//! An archive whose bytes depend on its content alone: one time, one owner, sorted names.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use super::Arch;

/// Checksums of what is beside it.
const SUMS: &str = "SHA256SUMS";

/// What goes into an archive, by path.
#[derive(Debug)]
pub(super) struct Content {
    /// Of every entry, seconds since 1970.
    time: u64,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
enum Entry {
    File { bytes: Vec<u8>, mode: u32 },
    Link { to: String },
}

impl Content {
    pub(super) fn new(time: u64) -> Self {
        Self { time, entries: BTreeMap::new() }
    }

    pub(super) fn program(&mut self, name: &str, path: &Path) -> Result<()> {
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        self.entries.insert(name.to_owned(), Entry::File { bytes, mode: 0o755 });
        Ok(())
    }

    pub(super) fn text(&mut self, name: &str, bytes: Vec<u8>) {
        self.entries.insert(name.to_owned(), Entry::File { bytes, mode: 0o644 });
    }

    pub(super) fn link(&mut self, name: &str, to: &str) {
        self.entries.insert(name.to_owned(), Entry::Link { to: to.to_owned() });
    }

    /// The files of a directory and of those in it, by their relative paths.
    pub(super) fn directory(&mut self, root: &Path) -> Result<()> {
        for entry in ignore::WalkBuilder::new(root).standard_filters(false).build() {
            let path = entry.with_context(|| format!("listing {}", root.display()))?.into_path();
            if path.is_file() {
                let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
                self.text(&name, fs::read(&path)?);
            }
        }
        Ok(())
    }

    /// Writes the archive into `directory`, with checksums of its files.
    pub(super) fn write(mut self, directory: &Path, arch: Arch) -> Result<PathBuf> {
        let files = self.entries.iter().filter_map(|(name, entry)| match entry {
            Entry::File { bytes, .. } => Some((name.as_str(), bytes.as_slice())),
            Entry::Link { .. } => None,
        });
        let sums = sums_of(files);
        self.text(SUMS, sums.into_bytes());

        let name = format!("httpfault-{}-{arch}", env!("CARGO_PKG_VERSION"));
        let path = directory.join(format!("{name}.tar.gz"));
        fs::write(&path, self.archive(&name)?).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Everything below one directory of that name.
    fn archive(&self, name: &str) -> Result<Vec<u8>> {
        let gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        let mut tar = tar::Builder::new(gzip);
        for (path, entry) in &self.entries {
            let path = format!("{name}/{path}");
            let mut header = Header::new_gnu();
            header.set_mtime(self.time);
            header.set_uid(0);
            header.set_gid(0);
            match entry {
                Entry::File { bytes, mode } => {
                    header.set_mode(*mode);
                    header.set_size(bytes.len() as u64);
                    tar.append_data(&mut header, path, bytes.as_slice())?;
                }
                Entry::Link { to } => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_mode(0o777);
                    header.set_size(0);
                    tar.append_link(&mut header, path, to)?;
                }
            }
        }
        let mut gzip = tar.into_inner()?;
        gzip.flush()?;
        Ok(gzip.finish()?)
    }
}

/// Writes the checksums of these archives beside them.
pub(super) fn sums(directory: &Path, archives: &[PathBuf]) -> Result<()> {
    let mut files = Vec::new();
    for archive in archives {
        let name = archive.file_name().context("an archive without a name")?.to_string_lossy().into_owned();
        files.push((name, fs::read(archive)?));
    }
    let sums = sums_of(files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    Ok(fs::write(directory.join(SUMS), sums)?)
}

/// As `sha256sum --check` reads it.
fn sums_of<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let line = |(name, bytes): (&str, &[u8])| {
        let digest = Sha256::digest(bytes);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{hex}  {name}\n")
    };
    files.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        let mut content = Content::new(1_700_000_000);
        content.text("b", b"two".to_vec());
        content.text("a", b"one".to_vec());
        content.link("c", "a");
        content
    }

    #[test]
    fn the_same_content_is_the_same_bytes_with_one_time_and_owner() {
        let archive = content().archive("x").unwrap();
        assert_eq!(archive, content().archive("x").unwrap());
        let mut read = tar::Archive::new(flate2::read::GzDecoder::new(archive.as_slice()));
        let mut names = Vec::new();
        for entry in read.entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.mtime().unwrap(), header.uid().unwrap()), (1_700_000_000, 0));
            names.push(entry.path().unwrap().display().to_string());
        }
        assert_eq!(names, ["x/a", "x/b", "x/c"]);
    }

    #[test]
    fn sums_are_those_of_sha256sum() {
        let sums = sums_of([("empty", &b""[..])].into_iter());
        assert_eq!(sums, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  empty\n");
    }
}
