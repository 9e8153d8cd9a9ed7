//! Nothing is left for later: no stubs, no skipped tests, no notes to self, no silenced lints.

use std::sync::LazyLock;

use regex_lite::Regex;

use super::{
    Problem, Tree,
    tokens::{Word, words},
};

/// In any text. Put together from pieces, or this file would break its own rule.
#[expect(clippy::unwrap_used, reason = "a constant expression, used by the tests below")]
static NOTE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(concat!(r"\b(FIX", "ME|XX", "X|TO", r"DO)\b")).unwrap());

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.texts() {
        for (index, line) in text.lines().enumerate() {
            if let Some(note) = NOTE.find(line) {
                let what =
                    format!("{}: do it, or write down in plain words what does not work", note.as_str());
                problems.push(Problem::new(path, index + 1, what));
            }
        }
    }
    for (path, text) in tree.ending(".rs") {
        for (line, word) in words(text) {
            let what = match word {
                Word::Macro(name) if name == "todo" || name == "unimplemented" => {
                    format!("{name}!: a function works or does not exist")
                }
                Word::Attribute(name) if name == "ignore" => {
                    "#[ignore]: a test runs or does not exist".to_owned()
                }
                Word::Attribute(name) if name == "allow" => {
                    "#[allow]: #[expect(.., reason = \"..\")] says when it is no longer needed".to_owned()
                }
                Word::Macro(_) | Word::Attribute(_) | Word::Name(_) => continue,
            };
            problems.push(Problem::new(path, line, what));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stubs_skips_notes_and_silenced_lints_are_found() {
        let note = format!("text\n# {}: later", concat!("FIX", "ME"));
        let tree = Tree::of([
            ("a.rs", "fn f() {\n todo!() }"),
            ("b.rs", "fn f() { unimplemented!(\"x\") }"),
            ("c.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}"),
            ("d.rs", "#![allow(dead_code)]"),
            ("e.yaml", &note),
        ]);
        let found: Vec<(String, usize)> = check(&tree).into_iter().map(|p| (p.path, p.line)).collect();
        let place = |path: &str, line| (path.to_owned(), line);
        assert_eq!(
            found,
            [place("e.yaml", 2), place("a.rs", 2), place("b.rs", 1), place("c.rs", 2), place("d.rs", 1)]
        );
    }

    #[test]
    fn the_same_words_in_another_meaning_are_fine() {
        let placeholder = format!("mktemp {}", "X".repeat(6));
        let tree = Tree::of([
            (
                "a.rs",
                "mod ignore; fn todo() { allow(\"todo!()\"); }\n#[expect(dead_code, reason = \"\")] fn f() {}",
            ),
            ("b.sh", &placeholder),
        ]);
        assert_eq!(check(&tree), []);
    }
}
