//! Parts of documents that commands write, each between two marks.

use std::fs;

use anyhow::{Context, Result};

use crate::process;

/// Ends every such part.
const END: &str = "<!-- end -->";

/// Replaces what follows the line `begin` in a document.
pub(crate) fn replace(document: &str, begin: &str, part: &str) -> Result<()> {
    let path = process::root().join(document);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {document}"))?;
    let text = between_marks(&text, begin, part)
        .with_context(|| format!("{document} has no lines {begin} and {END}"))?;
    fs::write(&path, text).with_context(|| format!("writing {document}"))
}

fn between_marks(text: &str, begin: &str, part: &str) -> Option<String> {
    let (before, rest) = text.split_once(begin)?;
    let (_old, after) = rest.split_once(END)?;
    Some(format!("{before}{begin}\n\n{part}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let text = format!("before\n<!-- a -->\nold\n{END}\nafter\n<!-- b -->\nkept\n{END}\n");
        let new = between_marks(&text, "<!-- a -->", "| new |").unwrap();
        assert!(new.starts_with("before\n") && new.contains("after\n<!-- b -->\nkept\n"), "{new}");
        assert!(new.contains("| new |") && !new.contains("old"), "{new}");
        assert_eq!(between_marks("no marks", "<!-- a -->", ""), None);
    }
}
