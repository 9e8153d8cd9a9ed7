//! What cargo knows about the workspace.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// The part of `cargo metadata` that the commands use.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
    workspace_default_members: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    id: String,
    pub(crate) name: String,
    pub(crate) targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// `lib`, `bin`, `test`, `custom-build`.
    kind: Vec<String>,
}

impl Metadata {
    /// Asks cargo.
    pub(crate) fn read() -> Result<Self> {
        let text = process::read(process::cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
        serde_json::from_str(&text).context("reading what `cargo metadata` wrote")
    }

    /// The packages that `cargo test` tests, in the order of the manifest.
    pub(crate) fn default_members(&self) -> impl Iterator<Item = &Package> {
        self.workspace_default_members
            .iter()
            .filter_map(|id| self.packages.iter().find(|package| package.id == *id))
    }
}

impl Package {
    /// Names of its targets of that kind.
    pub(crate) fn targets<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        self.targets
            .iter()
            .filter(move |target| target.kind.iter().any(|own| own == kind))
            .map(|target| target.name.as_str())
    }
}

#[cfg(test)]
pub(crate) mod fixture {
    use super::*;

    /// A workspace: each package with its targets, `(kind, name)`.
    pub(crate) fn workspace(packages: &[(&str, &[(&str, &str)])]) -> Metadata {
        let package = |(name, targets): &(&str, &[(&str, &str)])| Package {
            id: (*name).to_owned(),
            name: (*name).to_owned(),
            targets: targets
                .iter()
                .map(|(kind, name)| Target { name: (*name).to_owned(), kind: vec![(*kind).to_owned()] })
                .collect(),
        };
        Metadata {
            packages: packages.iter().map(package).collect(),
            target_directory: "/target".into(),
            workspace_default_members: packages.iter().map(|(name, _)| (*name).to_owned()).collect(),
        }
    }
}
