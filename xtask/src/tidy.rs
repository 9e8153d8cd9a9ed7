//! `cargo xtask tidy`: the repository's own rules, those that neither compiler nor clippy knows.

mod tree;

mod boundaries;
mod documents;
mod manifests;
mod size;
mod unfinished;

mod tokens;

use std::fmt;

use anyhow::{Result, bail};
use tree::Tree;

use crate::{process, say};

/// Something to repair, with its place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    path: String,
    line: usize,
    what: String,
}

pub(crate) fn run() -> Result<()> {
    let tree = Tree::read(process::root())?;
    let problems = check(&tree, &crate::command_names());
    for problem in &problems {
        say::line(problem);
    }
    if !problems.is_empty() {
        bail!("CONTRIBUTING.md is not followed in {} places", problems.len());
    }
    Ok(())
}

/// Every rule on every file, in the order of the files.
fn check(tree: &Tree, commands: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(size::check(tree));
    problems.extend(unfinished::check(tree));
    problems.extend(boundaries::check(tree));
    problems.extend(manifests::check(tree));
    problems.extend(documents::check(tree, commands));
    problems.sort();
    problems
}

impl Problem {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, what } = self;
        write!(f, "{path}:{line}: {what}")
    }
}
