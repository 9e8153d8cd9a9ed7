//! Files of this machine for an emulated one: at their own places, with the links that lead there and the libraries that
//! programs are linked with.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::process;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Directory,
    Link(PathBuf),
    File,
}

/// Paths, each after its directory.
#[derive(Debug, Default)]
pub(super) struct Tree {
    entries: BTreeMap<PathBuf, Entry>,
}

impl Tree {
    /// These files and directories, and what they need.
    pub(super) fn of(paths: &[PathBuf]) -> Result<Self> {
        let mut tree = Self::default();
        for place in ["/tmp", "/var/tmp", "/root"] {
            tree.add_parents(Path::new(place))?;
            tree.entries.insert(place.into(), Entry::Directory);
        }
        for path in paths {
            tree.add(path).with_context(|| format!("taking {} along", path.display()))?;
        }
        // What ldd says has the libraries' libraries too.
        let libraries = tree.libraries()?;
        libraries.iter().try_for_each(|library| tree.add(library))?;
        Ok(tree)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_path(), entry))
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
        self.add_parents(path)?;
        let parent = fs::canonicalize(parent).with_context(|| format!("looking for {}", parent.display()))?;
        let path = &parent.join(name);
        if self.entries.contains_key(path) {
            return Ok(());
        }
        self.add_parents(path)?;
        let kind = fs::symlink_metadata(path).with_context(|| format!("looking at {}", path.display()))?;
        if kind.is_symlink() {
            let to = fs::read_link(path)?;
            let target = parent.join(&to);
            self.entries.insert(path.to_owned(), Entry::Link(to));
            // A link may lead nowhere here as well.
            return if target.exists() { self.add(&target) } else { Ok(()) };
        }
        if kind.is_dir() {
            self.entries.insert(path.to_owned(), Entry::Directory);
            for entry in fs::read_dir(path).with_context(|| format!("listing {}", path.display()))? {
                self.add(&entry?.path())?;
            }
        } else if kind.is_file() {
            self.entries.insert(path.to_owned(), Entry::File);
        }
        Ok(())
    }

    /// The directories above, down to the first that is a link.
    fn add_parents(&mut self, path: &Path) -> Result<()> {
        let above: Vec<&Path> = path.ancestors().skip(1).filter(|path| path.parent().is_some()).collect();
        for directory in above.into_iter().rev() {
            if directory.is_symlink() {
                let to = fs::read_link(directory)?;
                self.entries.insert(directory.to_owned(), Entry::Link(to));
                let target = fs::canonicalize(directory)?;
                self.add_parents(&target)?;
                self.entries.insert(target, Entry::Directory);
                return Ok(());
            }
            self.entries.insert(directory.to_owned(), Entry::Directory);
        }
        Ok(())
    }

    /// What the programs and libraries among the files are linked with.
    fn libraries(&self) -> Result<Vec<PathBuf>> {
        let files = self.entries.iter().filter(|(_, entry)| **entry == Entry::File);
        let linked: Vec<&PathBuf> = files.map(|(path, _)| path).filter(|path| is_elf(path)).collect();
        if linked.is_empty() {
            bail!("there is no program among the files");
        }
        // Fails where one of them is static.
        let said = process::command("ldd").args(linked).output().context("running ldd")?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let paths = said.lines().filter(|line| line.starts_with(char::is_whitespace));
        let paths = paths.flat_map(str::split_whitespace).filter(|word| word.starts_with('/'));
        Ok(paths.map(PathBuf::from).collect())
    }
}

fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"\x7fELF"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_brings_its_libraries_and_the_links_that_lead_to_them() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("real")).unwrap();
        fs::copy(process::find("sh").unwrap(), at("real/program")).unwrap();
        std::os::unix::fs::symlink("real", at("way")).unwrap();
        let tree = Tree::of(&[at("way/program")]).unwrap();
        assert_eq!(tree.entries[&at("way")], Entry::Link("real".into()));
        assert_eq!(tree.entries[&at("real")], Entry::Directory);
        assert!(tree.entries().any(|(path, _)| path.to_string_lossy().contains("libc.so")));
    }
}
