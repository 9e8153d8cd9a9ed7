//! `cargo xtask conformance`: what clients see of each corner of HTTP, by the example of that name of the responder.

use anyhow::Result;

use crate::{document, process, say};

const DOCUMENT: &str = "docs/http.md";
const MARK: &str = "<!-- written by cargo xtask conformance --write -->";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write the tables in docs/http.md
    #[arg(long)]
    write: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let example = ["run", "--quiet", "--package", "httpfault-responder", "--example", "conformance"];
    let tables = process::read(process::cargo().args(example))?;
    say::line(tables.trim_end());
    if args.write {
        document::replace(DOCUMENT, MARK, tables.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_a_place_for_the_tables() {
        let text = std::fs::read_to_string(process::root().join(DOCUMENT)).unwrap();
        assert!(text.contains(MARK));
    }
}
