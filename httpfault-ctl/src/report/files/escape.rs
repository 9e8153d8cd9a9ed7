//! What a host, a tag or a URL says can't become markup.

use std::fmt::{self, Write};

use askama::filters::{Escaper, Html};

/// Escapes for HTML and SVG. Control characters may not stand in XML at all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Markup;

/// Escapes for Markdown, also within tables, where a line end would end the row.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Markdown;

impl Escaper for Markup {
    fn write_escaped_str<W: Write>(&self, mut to: W, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| self.write_escaped_char(&mut to, c))
    }

    fn write_escaped_char<W: Write>(&self, to: W, c: char) -> fmt::Result {
        Html.write_escaped_char(to, if c.is_control() && c != '\n' { ' ' } else { c })
    }
}

impl Escaper for Markdown {
    fn write_escaped_str<W: Write>(&self, mut to: W, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| self.write_escaped_char(&mut to, c))
    }

    fn write_escaped_char<W: Write>(&self, mut to: W, c: char) -> fmt::Result {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' => write!(to, "\\{c}"),
            '<' => to.write_str("&lt;"),
            '>' => to.write_str("&gt;"),
            '&' => to.write_str("&amp;"),
            c if c.is_control() => to.write_char(' '),
            c => to.write_char(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_stays_markup() {
        let mut text = String::new();
        Markup.write_escaped_str(&mut text, "<a b=\"c\">&\u{0}\u{1b}'").unwrap();
        assert_eq!(text, "&#60;a b=&#34;c&#34;&#62;&#38;  &#39;");

        let mut text = String::new();
        let hostile = "a|b\n# <script>alert(1)</script> [x](javascript:y) `z` **b** &amp;";
        Markdown.write_escaped_str(&mut text, hostile).unwrap();
        assert_eq!(
            text,
            "a\\|b # &lt;script&gt;alert(1)&lt;/script&gt; \\[x\\](javascript:y) \\`z\\` \\*\\*b\\*\\* &amp;amp;"
        );
    }
}
