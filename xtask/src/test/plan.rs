//! Which `cargo test` runs make up a suite.

use anyhow::{Result, bail};

use crate::metadata::{Metadata, Package};

/// How a package's integration tests have to run, where that is not cargo's default.
struct Special {
    package: &'static str,
    threads: u32,
    needs_root: bool,
}

const SPECIAL: [Special; 2] = [
    // Each has hosts of its own, and mostly waits for them.
    Special { package: "httpfault-ctl", threads: 6, needs_root: false },
    // They have the machine for themselves: /run/httpfault, the list of kernel programs, the cores.
    Special { package: "httpfault-tests", threads: 1, needs_root: true },
];

/// One run of `cargo test`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// Which targets.
    pub(super) cargo: Vec<String>,
    /// Arguments of the test programs.
    pub(super) harness: Vec<String>,
    pub(super) needs_root: bool,
}

/// The runs of a suite; of all tests without a name.
pub(super) fn selections(metadata: &Metadata, suite: Option<&str>) -> Result<Vec<Selection>> {
    let Some(suite) = suite else {
        return Ok([unit(metadata), end_to_end(metadata)].concat());
    };
    if suite == "unit" {
        return Ok(unit(metadata));
    }
    if suite == "e2e" {
        return Ok(end_to_end(metadata));
    }
    let named = |package: &&Package| {
        package.name == suite || package.name.strip_prefix("httpfault-").is_some_and(|short| short == suite)
    };
    if let Some(package) = metadata.default_members().find(named) {
        return Ok(vec![one_package(package)]);
    }
    for package in metadata.default_members() {
        if let (Some(special), true) = (special(package), package.targets("test").any(|name| name == suite)) {
            return Ok(vec![special.selection(vec!["--test".to_owned(), suite.to_owned()])]);
        }
    }
    bail!("there is no suite {suite}; there are: {}", names(metadata).join(", "))
}

/// Every test that runs anywhere: inside the crates, the integration tests, documentation.
fn unit(metadata: &Metadata) -> Vec<Selection> {
    let mut targets = vec!["--lib".to_owned(), "--bins".to_owned()];
    for package in metadata.default_members().filter(|package| special(package).is_none()) {
        targets.extend(package.targets("test").flat_map(|name| ["--test".to_owned(), name.to_owned()]));
    }
    let mut selections = vec![
        Selection { cargo: targets, ..Selection::default() },
        Selection { cargo: vec!["--doc".to_owned()], ..Selection::default() },
    ];
    selections.extend(of_special(metadata, false));
    selections
}

/// What needs root and the machine.
fn end_to_end(metadata: &Metadata) -> Vec<Selection> {
    of_special(metadata, true)
}

/// The integration tests of the special packages.
fn of_special(metadata: &Metadata, needs_root: bool) -> Vec<Selection> {
    let mut selections = Vec::new();
    for package in metadata.default_members() {
        let Some(special) = special(package).filter(|special| special.needs_root == needs_root) else {
            continue;
        };
        let targets: Vec<String> =
            package.targets("test").flat_map(|name| ["--test".to_owned(), name.to_owned()]).collect();
        if !targets.is_empty() {
            // Without the package's name: cargo would choose other features and compile everything again.
            selections.push(special.selection(targets));
        }
    }
    selections
}

fn one_package(package: &Package) -> Selection {
    let targets = vec!["--package".to_owned(), package.name.clone()];
    match special(package) {
        Some(special) => special.selection(targets),
        None => Selection { cargo: targets, ..Selection::default() },
    }
}

fn special(package: &Package) -> Option<&'static Special> {
    SPECIAL.iter().find(|special| special.package == package.name)
}

impl Special {
    fn selection(&self, cargo: Vec<String>) -> Selection {
        let harness = vec![format!("--test-threads={}", self.threads)];
        Selection { cargo, harness, needs_root: self.needs_root }
    }
}

fn names(metadata: &Metadata) -> Vec<&str> {
    let mut names = vec!["unit", "e2e"];
    for package in metadata.default_members() {
        names.push(package.name.strip_prefix("httpfault-").unwrap_or(&package.name));
        if special(package).is_some() {
            names.extend(package.targets("test"));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::fixture::workspace;

    fn metadata() -> Metadata {
        workspace(&[
            ("httpfault-agent", &[("bin", "httpfault-agent"), ("test", "usage")]),
            ("httpfault-ctl", &[("bin", "httpfault-ctl"), ("test", "suite")]),
            ("httpfault-tests", &[("lib", "httpfault_tests"), ("test", "lifecycle"), ("test", "datapath")]),
        ])
    }

    fn cargo(suite: Option<&str>) -> Vec<String> {
        let selections = selections(&metadata(), suite).unwrap();
        selections.iter().map(|selection| selection.cargo.join(" ")).collect()
    }

    #[test]
    fn all_tests_are_run_once_and_only_end_to_end_ones_need_root() {
        let runs = ["--lib --bins --test usage", "--doc", "--test suite", "--test lifecycle --test datapath"];
        assert_eq!(cargo(None), runs);
        let all = selections(&metadata(), None).unwrap();
        assert_eq!(
            all.iter().map(|selection| selection.needs_root).collect::<Vec<_>>(),
            [false, false, false, true]
        );
        assert_eq!(
            (&*all[2].harness, &*all[3].harness),
            (&["--test-threads=6".to_owned()][..], &["--test-threads=1".to_owned()][..])
        );
    }

    #[test]
    fn a_suite_is_a_group_a_package_or_an_end_to_end_target() {
        assert_eq!(cargo(Some("e2e")), ["--test lifecycle --test datapath"]);
        assert_eq!(cargo(Some("agent")), ["--package httpfault-agent"]);
        assert_eq!(cargo(Some("httpfault-agent")), ["--package httpfault-agent"]);
        assert_eq!(cargo(Some("lifecycle")), ["--test lifecycle"]);
    }

    #[test]
    fn an_unknown_suite_lists_the_known_ones() {
        let error = selections(&metadata(), Some("lifecyle")).unwrap_err().to_string();
        for name in ["lifecyle", "unit", "e2e", "agent", "lifecycle", "datapath"] {
            assert!(error.contains(name), "{error}");
        }
    }
}
