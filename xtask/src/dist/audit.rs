//! The list of its crates in each program, where `cargo audit bin`, Syft and Trivy look for it: zlib-compressed JSON in the
//! section `.dep-v0`, the format of cargo-auditable.

use std::{collections::BTreeMap, fs, io::Write as _, path::Path};

use anyhow::{Context, Result};
use auditable_serde::{DependencyKind, Package, Source, VersionInfo};
use flate2::{Compression, write::ZlibEncoder};

use super::graph::Graph;
use crate::process;

const SECTION: &str = ".dep-v0";

/// Copies the program of `package`, with the list of what is inside. `objcopy` is the one of the program's architecture.
pub(super) fn embed(graph: &Graph, package: &str, program: &Path, to: &Path, objcopy: &str) -> Result<()> {
    let list = serde_json::to_vec(&crates(graph, package)?)?;
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(&list)?;
    let section = to.with_extension("crates");
    fs::write(&section, zlib.finish()?).with_context(|| format!("writing {}", section.display()))?;
    let add = format!("{SECTION}={}", section.display());
    process::run(process::command(objcopy).args(["--add-section", &add]).arg(program).arg(to))
}

fn crates(graph: &Graph, root: &str) -> Result<VersionInfo> {
    let inside = graph.inside(&[root]);
    let places: BTreeMap<&str, usize> =
        inside.iter().enumerate().map(|(place, package)| (package.id.as_str(), place)).collect();
    let package = |package: &&super::graph::Package| {
        let mut dependencies: Vec<usize> =
            graph.linked(&package.id).filter_map(|id| places.get(id).copied()).collect();
        dependencies.sort_unstable();
        dependencies.dedup();
        let version = package.version.parse().with_context(|| format!("version of {}", package.name))?;
        Ok(Package {
            name: package.name.clone(),
            version,
            source: if package.is_ours() { Source::Local } else { Source::CratesIo },
            kind: DependencyKind::Runtime,
            dependencies,
            root: package.name == root,
        })
    };
    Ok(VersionInfo { packages: inside.iter().map(package).collect::<Result<_>>()?, format: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::{AGENT, Arch};

    #[test]
    fn the_list_is_in_the_section_where_it_is_looked_for() {
        use std::io::Read as _;

        use object::{Object as _, ObjectSection as _};

        let directory = tempfile::tempdir().unwrap();
        let to = directory.path().join("program");
        let graph = Graph::of(Arch::NATIVE).unwrap();
        embed(&graph, AGENT, &std::env::current_exe().unwrap(), &to, "objcopy").unwrap();
        let bytes = fs::read(to).unwrap();
        let file = object::File::parse(bytes.as_slice()).unwrap();
        let section = file.section_by_name(SECTION).unwrap();
        let mut list = String::new();
        flate2::read::ZlibDecoder::new(section.data().unwrap()).read_to_string(&mut list).unwrap();
        assert_eq!(list.parse::<VersionInfo>().unwrap(), crates(&graph, AGENT).unwrap());
    }

    #[test]
    fn the_list_is_what_its_readers_take() {
        let list = crates(&Graph::of(Arch::NATIVE).unwrap(), AGENT).unwrap();
        // Reading checks that there is one root and no cycle.
        let read: VersionInfo = serde_json::to_string(&list).unwrap().parse().unwrap();
        let root = read.packages.iter().find(|package| package.root).unwrap();
        assert_eq!((root.name.as_str(), &root.source), (AGENT, &Source::Local));
        let hyper = read.packages.iter().find(|package| package.name == "hyper").unwrap();
        assert_eq!(hyper.source, Source::CratesIo);
        assert!(hyper.dependencies.iter().any(|place| read.packages[*place].name == "bytes"));
    }
}
