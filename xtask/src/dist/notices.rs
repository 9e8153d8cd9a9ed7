//! What is inside the programs besides our own: every dependency with its licence, and the texts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context, Result};

use super::{
    Arch,
    graph::{Graph, Package},
};
use crate::process;

/// Linked in by the compiler, not by cargo.
const BUILT_IN: &str = "\
- The Rust standard library: MIT OR Apache-2.0, <https://github.com/rust-lang/rust>\n\
- musl, a C library: MIT, <https://musl.libc.org/>\n";
/// The workspace's own MIT licence has the same text, below another name.
const MUSL_COPYRIGHT: &str = "Copyright © 2005-2020 Rich Felker, et al.";

/// Names of files with a licence's text begin so.
const TEXTS: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"];

/// The document for these programs and the kernel programs that the agent carries.
pub(super) fn of(programs: &[&str], arch: Arch) -> Result<String> {
    let graph = Graph::of(arch)?;
    let mut roots = programs.to_vec();
    roots.push(ebpf_build::PACKAGE);
    let inside = graph.inside(&roots);
    document(&inside.into_iter().filter(|package| !package.is_ours()).collect::<Vec<_>>())
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
