//! Which part may know what: the invariants of ARCHITECTURE.md that are about names in files.

use super::{
    Problem, Tree,
    tokens::{Word, words},
};

/// Names that only some files may use.
struct Boundary {
    /// An exact name, or with a `*` at its end the start of one.
    names: &'static [&'static str],
    /// The rule is about files whose path starts with one of these.
    about: &'static [&'static str],
    /// These among them may; a directory ends with `/`.
    may: &'static [&'static str],
    rule: &'static str,
}

const BOUNDARIES: [Boundary; 3] = [
    Boundary {
        names: &["unsafe"],
        about: &[""],
        may: &[
            "httpfault-ebpf/",
            "httpfault-common/src/abi.rs",
            "httpfault-common/src/abi/",
            "httpfault-agent/src/datapath/bpf.rs",
            "httpfault-agent/src/netns.rs",
            "httpfault-agent/src/sys.rs",
            "tests/src/bpf.rs",
        ],
        rule: "unsafe lives in the kernel programs, abi.rs, bpf.rs, netns.rs and sys.rs alone",
    },
    Boundary {
        names: &["aya", "aya_obj"],
        // The end-to-end tests ask the kernel by aya what is loaded.
        about: &["httpfault-", "ebpf-build/", "xtask/"],
        may: &[
            "httpfault-agent/src/datapath.rs",
            "httpfault-agent/src/datapath/",
            "httpfault-common/src/abi.rs",
            "httpfault-common/src/abi/",
            // Relocates the object while the agent is built.
            "ebpf-build/src/image.rs",
        ],
        rule: "only httpfault-agent/src/datapath sees an aya type",
    },
    Boundary {
        names: &["aws_sdk*", "aws_config", "aws_smithy*", "aws_credential_types", "aws_runtime", "aws_types"],
        about: &["httpfault-", "ebpf-build/", "xtask/"],
        may: &["httpfault-ctl/src/aws.rs", "httpfault-ctl/src/aws/"],
        rule: "only httpfault-ctl/src/aws sees an SDK type",
    },
];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let crossed: Vec<&Boundary> = BOUNDARIES.iter().filter(|boundary| boundary.applies(path)).collect();
        if crossed.is_empty() {
            continue;
        }
        for (line, word) in words(text) {
            let Word::Name(name) = word else { continue };
            for boundary in crossed.iter().filter(|boundary| boundary.covers(&name)) {
                problems.push(Problem::new(path, line, format!("{name}: {}", boundary.rule)));
            }
        }
    }
    problems
}

impl Boundary {
    fn applies(&self, path: &str) -> bool {
        let may = |may: &&str| if may.ends_with('/') { path.starts_with(*may) } else { path == *may };
        self.about.iter().any(|about| path.starts_with(about)) && !self.may.iter().any(may)
    }

    fn covers(&self, name: &str) -> bool {
        self.names
            .iter()
            .any(|rule| rule.strip_suffix('*').map_or(*rule == name, |start| name.starts_with(start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> usize {
        check(&Tree::of([(path, text)])).len()
    }

    #[test]
    fn unsafe_stays_in_its_files() {
        let text = "fn f() { unsafe { g() } }";
        assert_eq!(broken("httpfault-agent/src/sys.rs", text), 0);
        assert_eq!(broken("httpfault-ebpf/src/steer.rs", text), 0);
        assert_eq!(broken("httpfault-agent/src/run.rs", text), 1);
        assert_eq!(broken("tests/src/netns.rs", text), 1);
        assert_eq!(broken("httpfault-agent/src/run.rs", "#![forbid(unsafe_code)]"), 0);
    }

    #[test]
    fn libraries_stay_behind_their_modules() {
        assert_eq!(broken("httpfault-agent/src/datapath/load.rs", "use aya::Ebpf;"), 0);
        assert_eq!(broken("httpfault-agent/src/run.rs", "use aya::Ebpf;"), 1);
        assert_eq!(broken("tests/src/kernel.rs", "use aya::programs;"), 0);
        assert_eq!(broken("httpfault-ctl/src/aws/ssm.rs", "use aws_sdk_ssm::Client;"), 0);
        assert_eq!(broken("httpfault-ctl/src/plan.rs", "use aws_sdk_ssm::Client;"), 1);
        assert_eq!(broken("httpfault-ctl/src/plan.rs", "let aws_region = 1;"), 0);
    }
}
