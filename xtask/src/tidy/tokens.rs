//! The words of a Rust file, without its comments and strings.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What the rules look at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// An identifier or a keyword.
    Name(String),
    /// `name!`
    Macro(String),
    /// The name of `#[name ..]` or `#![name ..]`, and of what `cfg_attr` adds.
    Attribute(String),
}

/// Every word with its line. A file that is not Rust has none; the compiler will say so.
pub(super) fn words(text: &str) -> Vec<(usize, Word)> {
    let mut words = Vec::new();
    if let Ok(stream) = text.parse() {
        collect(stream, &mut words);
    }
    words
}

fn collect(stream: TokenStream, words: &mut Vec<(usize, Word)>) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        let line = token.span().start().line;
        match token {
            TokenTree::Ident(name)
                if is_punct(tokens.get(at + 1), '!') && !is_punct(tokens.get(at + 2), '=') =>
            {
                words.push((line, Word::Macro(name.to_string())));
            }
            TokenTree::Ident(name) => words.push((line, Word::Name(name.to_string()))),
            TokenTree::Group(group) => {
                let marked = |before: usize, sign| at >= before && is_punct(tokens.get(at - before), sign);
                let attribute = marked(1, '#') || (marked(1, '!') && marked(2, '#'));
                if attribute && group.delimiter() == Delimiter::Bracket {
                    attributes(group.stream(), words);
                }
                collect(group.stream(), words);
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// The name at the start of the brackets, and, in `cfg_attr(condition, name ..)`, the names after each comma.
fn attributes(stream: TokenStream, words: &mut Vec<(usize, Word)>) {
    let mut tokens = stream.into_iter();
    let Some(TokenTree::Ident(name)) = tokens.next() else { return };
    words.push((name.span().start().line, Word::Attribute(name.to_string())));
    if let (true, Some(TokenTree::Group(arguments))) = (name == "cfg_attr", tokens.next()) {
        let arguments: Vec<TokenTree> = arguments.stream().into_iter().collect();
        for pair in arguments.windows(2) {
            if let (true, TokenTree::Ident(name)) = (is_punct(pair.first(), ','), &pair[1]) {
                words.push((name.span().start().line, Word::Attribute(name.to_string())));
            }
        }
    }
}

fn is_punct(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(text: &str, word: &Word) -> bool {
        words(text).iter().any(|(_, found)| found == word)
    }

    #[test]
    fn comments_and_strings_have_no_words() {
        let text = "//! unsafe\n// unsafe\n/// unsafe\nfn f() { \"unsafe\"; }";
        assert!(!has(text, &Word::Name("unsafe".to_owned())));
        assert!(has("fn f() { unsafe {} }", &Word::Name("unsafe".to_owned())));
    }

    #[test]
    fn macros_and_attributes_are_told_from_names() {
        let text = "#[ignore]\nfn f() { if a != b { todo!() } }\n#[cfg_attr(x, allow(y))]\nmod ignore;";
        let found = words(text);
        assert!(found.contains(&(1, Word::Attribute("ignore".to_owned()))), "{found:?}");
        assert!(found.contains(&(2, Word::Macro("todo".to_owned()))), "{found:?}");
        assert!(found.contains(&(2, Word::Name("a".to_owned()))), "{found:?}");
        assert!(found.contains(&(3, Word::Attribute("allow".to_owned()))), "{found:?}");
        assert!(!found.contains(&(4, Word::Attribute("ignore".to_owned()))), "{found:?}");
    }
}
