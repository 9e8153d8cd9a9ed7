//! What the documents point at exists: files, headings, commands.

use std::sync::LazyLock;

use pulldown_cmark::{Event, Parser, Tag, TagEnd};
use regex_lite::Regex;

use super::{Problem, Tree};

#[expect(clippy::unwrap_used, reason = "a constant expression, used by the tests below")]
static COMMAND: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"cargo xtask ([a-z][a-z-]*)").unwrap());

pub(super) fn check(tree: &Tree, commands: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.ending(".md") {
        for (offset, link) in links(text) {
            if let Some(what) = dangling(tree, path, &link) {
                problems.push(Problem::new(path, line_at(text, offset), what));
            }
        }
    }
    for (path, text) in tree.texts() {
        for command in COMMAND.captures_iter(text).filter_map(|captures| captures.get(1)) {
            if commands.iter().all(|known| known != command.as_str()) {
                let what = format!("there is no command {}, only {}", command.as_str(), commands.join(", "));
                problems.push(Problem::new(path, line_at(text, command.start()), what));
            }
        }
    }
    problems
}

/// Why a link leads nowhere; `None` if it leads somewhere, or out of the repository.
fn dangling(tree: &Tree, from: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let Some(target) = resolve(from, file) else {
        return Some(format!("{link} leads out of the repository"));
    };
    if !tree.has(&target) {
        return Some(format!("{link}: there is no {target}"));
    }
    let text = if target.ends_with(".md") { tree.text(&target)? } else { return None };
    (!heading.is_empty() && anchors(text).iter().all(|anchor| anchor != heading))
        .then(|| format!("{link}: {target} has no such heading"))
}

/// The path in the tree that a relative link from `from` means; a leading `/` is the repository.
fn resolve(from: &str, link: &str) -> Option<String> {
    if link.is_empty() {
        return Some(from.to_owned());
    }
    let mut parts: Vec<&str> = match link.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => from.rsplit_once('/').map_or(Vec::new(), |(directory, _)| directory.split('/').collect()),
    };
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Targets of links and images, with their offset.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (event, range) in Parser::new(text).into_offset_iter() {
        if let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = event {
            links.push((range.start, dest_url.into_string()));
        }
    }
    links
}

/// The anchors that GitHub gives to the headings.
fn anchors(text: &str) -> Vec<String> {
    let (mut anchors, mut heading): (Vec<String>, Option<String>) = (Vec::new(), None);
    for event in Parser::new(text) {
        match (event, heading.as_mut()) {
            (Event::Start(Tag::Heading { .. }), _) => heading = Some(String::new()),
            (Event::Text(part) | Event::Code(part), Some(heading)) => heading.push_str(&part),
            (Event::End(TagEnd::Heading(_)), _) => {
                anchors.extend(heading.take().map(|heading| slug(&heading)))
            }
            _ => {}
        }
    }
    anchors
}

/// Lower case, punctuation dropped, spaces to hyphens.
fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|sign| sign.is_alphanumeric() || matches!(sign, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|sign| if sign == ' ' { '-' } else { sign }).collect()
}

fn line_at(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<(usize, String)> {
        let files = [("docs/a.md", text), ("README.md", "# Quick *start*: `run` it"), ("src/main.rs", "")];
        let commands = ["test".to_owned(), "ci".to_owned()];
        check(&Tree::of(files), &commands).into_iter().map(|problem| (problem.line, problem.what)).collect()
    }

    #[test]
    fn links_that_lead_somewhere_are_fine() {
        let text = "# Here\n[a](../README.md#quick-start-run-it) [b](../src/) [c](https://example.com/x) [d](#here)\n\
                    ![e](/src/main.rs)\n[f]\n\n[f]: ../README.md";
        assert_eq!(problems(text), []);
    }

    #[test]
    fn links_that_lead_nowhere_are_found_with_their_line() {
        let text = "one\n\n[a](README.md)\n[b](../README.md#nothing)\n[c](../../x)\n";
        let lines: Vec<usize> = problems(text).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [3, 4, 5]);
    }

    #[test]
    fn commands_that_do_not_exist_are_found() {
        let text = format!("`cargo xtask test`\n`cargo xtask {}`", "nosuch");
        let found = problems(&text);
        assert_eq!(found.len(), 1);
        assert!(found[0].0 == 2 && found[0].1.contains("nosuch"), "{found:?}");
    }
}
