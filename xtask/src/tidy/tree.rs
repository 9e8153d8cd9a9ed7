//! The files of the repository, as git sees them.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use ignore::WalkBuilder;

/// Relative path with `/` -> text; `None` for a file that is not text.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: BTreeMap<String, Option<String>>,
}

impl Tree {
    /// Everything below `root` that is not ignored.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        let own_git = |entry: &ignore::DirEntry| entry.file_name() != ".git";
        // An unpacked archive has no .git and means the same .gitignore.
        for entry in WalkBuilder::new(root).hidden(false).require_git(false).filter_entry(own_git).build() {
            let entry = entry.with_context(|| format!("listing the files of {}", root.display()))?;
            if !entry.file_type().is_some_and(|kind| kind.is_file()) {
                continue;
            }
            let bytes =
                fs::read(entry.path()).with_context(|| format!("reading {}", entry.path().display()))?;
            let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
            files.insert(path.to_string_lossy().into_owned(), String::from_utf8(bytes).ok());
        }
        Ok(Self { files })
    }

    /// Every text file.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// The text files whose name ends so.
    pub(super) fn ending(&self, suffix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(move |(path, _)| path.ends_with(suffix))
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// Whether it is a file or a directory of the tree.
    pub(super) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let directory = format!("{path}/");
        path.is_empty()
            || self.files.contains_key(path)
            || self
                .files
                .range(directory.clone()..)
                .next()
                .is_some_and(|(next, _)| next.starts_with(&directory))
    }
}

#[cfg(test)]
impl Tree {
    /// A tree that exists nowhere.
    pub(super) fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let files = files.into_iter().map(|(path, text)| (path.to_owned(), Some(text.to_owned())));
        Self { files: files.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_files_are_not_part_of_the_tree() {
        let tree = Tree::read(crate::process::root()).unwrap();
        assert!(
            tree.has("xtask/src/tidy/tree.rs") && tree.has("xtask/src") && tree.has(".cargo/config.toml")
        );
        assert!(!tree.has("target") && !tree.has(".git") && !tree.has("xtask/sr"));
    }
}
