//! A bill of materials for each program, CycloneDX 1.5: its crates with versions, licences and checksums, and which needs
//! which.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result, ensure};
use cyclonedx_bom::{
    models::{
        bom::SpecVersion,
        component::Classification,
        dependency::{Dependencies, Dependency},
        hash::{Hash, HashAlgorithm, HashValue, Hashes},
        license::{LicenseChoice, Licenses},
    },
    prelude::{Bom, Component, Components, Metadata, Purl, Validate as _},
};
use serde::Deserialize;

use super::graph::{Graph, Package};
use crate::process;

/// The part of `Cargo.lock` that is read here.
#[derive(Debug, Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Debug, Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// SHA-256 by name and version, of crates of the registry.
type Checksums = BTreeMap<(String, String), String>;

/// The document for the program of that package. It has neither time nor serial number: the same sources, the same bytes.
pub(super) fn of(graph: &Graph, program: &str) -> Result<Vec<u8>> {
    let checksums = checksums()?;
    let inside = graph.inside(&[program]);
    let (own, others): (Vec<&Package>, Vec<&Package>) =
        inside.iter().partition(|package| package.name == program);
    let own = own.first().with_context(|| format!("there is no package {program}"))?;
    let components = others.iter().map(|package| component(package, Classification::Library, &checksums));
    let bom = Bom {
        serial_number: None,
        spec_version: SpecVersion::V1_5,
        metadata: Some(Metadata {
            component: Some(component(own, Classification::Application, &checksums)?),
            ..Metadata::default()
        }),
        components: Some(Components(components.collect::<Result<_>>()?)),
        dependencies: Some(dependencies(graph, &inside)),
        ..Bom::default()
    };
    ensure!(bom.validate().passed(), "the bill of materials of {program}: {:?}", bom.validate());
    let mut text = Vec::new();
    bom.output_as_json_v1_5(&mut text).context("writing the bill of materials")?;
    Ok(text)
}

fn component(package: &Package, kind: Classification, checksums: &Checksums) -> Result<Component> {
    let Package { name, version, .. } = package;
    let mut component = Component::new(kind, name, version, Some(reference(package)));
    component.purl = Some(Purl::new("cargo", name, version).with_context(|| format!("naming {name}"))?);
    // Cargo took a slash for OR before there were expressions.
    let licence = package.license.as_ref().map(|licence| licence.replace(" / ", "/").replace('/', " OR "));
    component.licenses = licence.map(|licence| Licenses(vec![LicenseChoice::expression(&licence)]));
    component.hashes = checksums
        .get(&(name.clone(), version.clone()))
        .map(|sum| Hashes(vec![Hash { alg: HashAlgorithm::SHA_256, content: HashValue(sum.clone()) }]));
    Ok(component)
}

fn dependencies(graph: &Graph, inside: &[&Package]) -> Dependencies {
    let references: BTreeMap<&str, String> =
        inside.iter().map(|package| (package.id.as_str(), reference(package))).collect();
    let of = |package: &&Package| {
        let mut needs: Vec<String> =
            graph.linked(&package.id).filter_map(|id| references.get(id).cloned()).collect();
        needs.sort_unstable();
        needs.dedup();
        Dependency { dependency_ref: reference(package), dependencies: needs }
    };
    Dependencies(inside.iter().map(of).collect())
}

/// Without the paths of this machine, which cargo's own ids have.
fn reference(package: &Package) -> String {
    format!("{}@{}", package.name, package.version)
}

fn checksums() -> Result<Checksums> {
    let text = fs::read_to_string(process::root().join("Cargo.lock")).context("reading Cargo.lock")?;
    let lock: Lock = toml::from_str(&text).context("reading Cargo.lock")?;
    let sum = |locked: Locked| Some(((locked.name, locked.version), locked.checksum?));
    Ok(lock.package.into_iter().filter_map(sum).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::{AGENT, Arch, CTL};

    #[test]
    fn each_program_has_a_valid_one_with_checksums_and_licences() {
        let graph = Graph::of(Arch::NATIVE).unwrap();
        for program in [AGENT, CTL] {
            let text = of(&graph, program).unwrap();
            assert_eq!(text, of(&graph, program).unwrap());
            let bom = Bom::parse_from_json_v1_5(text.as_slice()).unwrap();
            let components = bom.components.unwrap().0;
            let hyper = components.iter().find(|component| component.name.to_string() == "hyper").unwrap();
            assert!(hyper.hashes.is_some() && hyper.licenses.is_some());
            assert!(!String::from_utf8(text).unwrap().contains(&process::root().display().to_string()));
        }
    }
}
