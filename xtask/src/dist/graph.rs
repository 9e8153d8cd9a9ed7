//! What a program consists of, as cargo resolves it: its package and those that are linked with it.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Arch;
use crate::process;

/// The part of `cargo metadata` that is read here. It is of the whole workspace, so a package may have dependencies that
/// only another program asks for.
#[derive(Debug, Deserialize)]
pub(super) struct Graph {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
pub(super) struct Package {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) license: Option<String>,
    pub(super) repository: Option<String>,
    pub(super) manifest_path: PathBuf,
    /// `None` for our own packages.
    source: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    /// `None` for what ends up in the program; `build` and `dev` do not.
    kind: Option<String>,
}

impl Graph {
    pub(super) fn of(arch: Arch) -> Result<Self> {
        let arguments = ["metadata", "--locked", "--format-version", "1", "--filter-platform", arch.triple()];
        let text = process::read(process::cargo().args(arguments))?;
        serde_json::from_str(&text).context("reading what `cargo metadata` wrote")
    }

    /// The named packages, what is linked with them, and so on, sorted by name.
    pub(super) fn inside(&self, roots: &[&str]) -> Vec<&Package> {
        let own = |package: &&Package| roots.contains(&package.name.as_str());
        let mut open: Vec<&str> =
            self.packages.iter().filter(own).map(|package| package.id.as_str()).collect();
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(self.linked(id));
            }
        }
        let mut packages: Vec<&Package> =
            self.packages.iter().filter(|package| seen.contains(package.id.as_str())).collect();
        packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        packages
    }

    /// Ids of the packages that are linked with the one that has this id, for its own sake.
    pub(super) fn linked(&self, id: &str) -> impl Iterator<Item = &str> {
        let node = self.resolve.nodes.iter().find(|node| node.id == id);
        let linked = |edge: &&Edge| edge.dep_kinds.iter().any(|kind| kind.kind.is_none());
        node.into_iter().flat_map(|node| &node.deps).filter(linked).map(|edge| edge.pkg.as_str())
    }
}

impl Package {
    pub(super) fn is_ours(&self) -> bool {
        self.source.is_none()
    }
}
