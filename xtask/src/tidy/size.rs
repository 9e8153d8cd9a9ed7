//! Files stay short enough to be read in one go.

use super::{Problem, Tree};

const SOURCE: usize = 500;
const TEST: usize = 600;
/// The verifier reads these too, and so does everyone who wonders what runs in their kernel.
const KERNEL: usize = 150;

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.ending(".rs") {
        let (lines, limit) = (text.lines().count(), limit(path));
        if lines > limit {
            problems.push(Problem::new(
                path,
                limit,
                format!("{lines} lines, at most {limit}: split it by job"),
            ));
        }
    }
    problems
}

fn limit(path: &str) -> usize {
    if path.starts_with("httpfault-ebpf/") {
        KERNEL
    } else if path.starts_with("tests/tests/") || path.contains("/tests/") || path.ends_with("/tests.rs") {
        TEST
    } else {
        SOURCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_file_has_its_limit() {
        let (kernel, source, test) = ("\n".repeat(151), "\n".repeat(501), "\n".repeat(600));
        let tree = Tree::of([
            ("httpfault-ebpf/src/main.rs", kernel.as_str()),
            ("httpfault-agent/src/run.rs", &source),
            ("httpfault-agent/src/short.rs", &kernel),
            ("tests/tests/lifecycle.rs", &test),
            ("README.md", &source),
        ]);
        let found: Vec<String> = check(&tree).into_iter().map(|problem| problem.path).collect();
        assert_eq!(found, ["httpfault-agent/src/run.rs", "httpfault-ebpf/src/main.rs"]);
    }
}
