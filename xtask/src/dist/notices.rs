//! What is inside the programs besides our own: every dependency with its licence, and the texts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Arch;
use crate::process;

/// Linked in by the compiler, not by cargo.
const BUILT_IN: &str = "\
- The Rust standard library: MIT OR Apache-2.0, <https://github.com/rust-lang/rust>\n\
- musl, a C library: MIT, <https://musl.libc.org/>\n";
/// The workspace's own MIT licence has the same text, below another name.
const MUSL_COPYRIGHT: &str = "Copyright © 2005-2020 Rich Felker, et al.";

/// Names of files with a licence's text begin so.
const TEXTS: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"];

/// The part of `cargo metadata` that is read here.
#[derive(Debug, Deserialize)]
struct Graph {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    repository: Option<String>,
    manifest_path: PathBuf,
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

/// The document for these programs and the kernel programs that the agent carries.
pub(super) fn of(programs: &[&str], arch: Arch) -> Result<String> {
    let arguments = ["metadata", "--locked", "--format-version", "1", "--filter-platform", arch.triple()];
    let text = process::read(process::cargo().args(arguments))?;
    let graph: Graph = serde_json::from_str(&text).context("reading what `cargo metadata` wrote")?;
    let mut roots = programs.to_vec();
    roots.push(ebpf_build::PACKAGE);
    document(&graph.inside(&roots))
}

impl Graph {
    /// Dependencies of the named packages, theirs, and so on; those of others alone.
    fn inside(&self, roots: &[&str]) -> Vec<&Package> {
        let own = |package: &&Package| roots.contains(&package.name.as_str());
        let mut open: Vec<&str> =
            self.packages.iter().filter(own).map(|package| package.id.as_str()).collect();
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            let node = self.resolve.nodes.iter().find(|node| node.id == id);
            let linked = |edge: &&Edge| edge.dep_kinds.iter().any(|kind| kind.kind.is_none());
            open.extend(node.iter().flat_map(|node| &node.deps).filter(linked).map(|edge| edge.pkg.as_str()));
        }
        let foreign = |package: &&Package| package.source.is_some() && seen.contains(package.id.as_str());
        let mut packages: Vec<&Package> = self.packages.iter().filter(foreign).collect();
        packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        packages
    }
}

fn document(packages: &[&Package]) -> Result<String> {
    let mut document = String::from("# Third-party software in these programs\n\n");
    document.push_str(BUILT_IN);
    let mut texts: BTreeMap<String, Vec<&str>> = BTreeMap::from([(musl_licence()?, vec!["musl"])]);
    for package in packages {
        let licence = package.license.as_deref().unwrap_or("see the text below");
        let place = package.repository.as_deref().map(|url| format!(", <{url}>")).unwrap_or_default();
        document.push_str(&format!("- {} {}: {licence}{place}\n", package.name, package.version));
        for text in package.texts()? {
            texts.entry(text).or_default().push(&package.name);
        }
    }
    for (text, of) in texts {
        let fence = "````";
        document.push_str(&format!("\n## {}\n\n{fence}text\n{}\n{fence}\n", of.join(", "), text.trim_end()));
    }
    Ok(document)
}

/// The MIT licence with musl's copyright.
fn musl_licence() -> Result<String> {
    let own = fs::read_to_string(process::root().join("LICENSE-MIT")).context("reading LICENSE-MIT")?;
    let line =
        own.lines().find(|line| line.starts_with("Copyright")).context("LICENSE-MIT has no copyright")?;
    Ok(own.replace(line, MUSL_COPYRIGHT))
}

impl Package {
    /// The licences and notices that its source carries.
    fn texts(&self) -> Result<BTreeSet<String>> {
        let directory = self.manifest_path.parent().unwrap_or(Path::new("/"));
        let mut texts = BTreeSet::new();
        let entries = fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
            if path.is_file() && TEXTS.iter().any(|start| name.starts_with(start)) {
                let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
                texts.insert(String::from_utf8_lossy(&text).replace("\r\n", "\n"));
            }
        }
        Ok(texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_is_listed_and_tools_of_the_build_are_not() {
        let listed = of(&["httpfault-agent"], Arch::NATIVE).unwrap();
        for name in ["- aya ", "- aya-ebpf ", "- hyper ", "- tokio ", "- musl"] {
            assert!(listed.contains(name), "{name}");
        }
        assert!(!listed.contains("- httpfault-agent"));
        assert!(!listed.contains("- cpio "));
    }
}
