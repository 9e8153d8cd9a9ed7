//! One value of each kind. A wrong one is noted and the default stands in, so that all mistakes are found in one go.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr};

use super::{raw::Raw, table::Tunable};

/// The words for true and false, in any case: the reference writes `true`, `True` and `1`.
const TRUE: [&str; 5] = ["true", "1", "yes", "y", "on"];
const FALSE: [&str; 5] = ["false", "0", "no", "n", "off"];

impl Raw {
    /// A number within `range`; the default stands in the table.
    pub(crate) fn number<N>(&mut self, tunable: &Tunable, range: RangeInclusive<N>, unit: &str) -> N
    where
        N: FromStr + PartialOrd + Display + Copy,
    {
        let default = tunable.default.parse().unwrap_or(*range.start());
        let Some(text) = self.text(tunable).map(|text| text.trim().to_owned()) else { return default };
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let allowed = format!("a number from {} to {}{unit}", range.start(), range.end());
                self.wrong(tunable, &text, &allowed);
                default
            }
        }
    }

    pub(crate) fn switch(&mut self, tunable: &Tunable) -> bool {
        let Some(text) = self.text(tunable).map(str::to_owned) else {
            return TRUE.contains(&tunable.default);
        };
        let word = text.trim().to_ascii_lowercase();
        if TRUE.contains(&word.as_str()) {
            return true;
        }
        if !FALSE.contains(&word.as_str()) {
            self.wrong(tunable, &text, "true or false (also True, 1, yes, on; False, 0, no, off)");
        }
        // The default is not used here: a word that means neither ends the program.
        false
    }

    /// One of a few words, in any case. `otherwise` is for a word that is none of them, which ends the program.
    pub(crate) fn choice<T: Copy>(&mut self, tunable: &Tunable, words: &[(&str, T)], otherwise: T) -> T {
        let text = self.text(tunable).unwrap_or(tunable.default).trim().to_owned();
        if let Some((_, value)) = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text)) {
            return *value;
        }
        let allowed = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ");
        self.wrong(tunable, &text, &allowed);
        otherwise
    }

    /// Text whose form `fits` decides.
    pub(crate) fn formed(
        &mut self,
        tunable: &Tunable,
        fits: impl Fn(&str) -> bool,
        allowed: &str,
    ) -> Option<String> {
        let text = self.text(tunable)?.trim().to_owned();
        if fits(&text) {
            return Some(text);
        }
        self.wrong(tunable, &text, allowed);
        None
    }

    /// Like [`Self::formed`], and missing is a mistake too.
    pub(crate) fn required(
        &mut self,
        tunable: &Tunable,
        fits: impl Fn(&str) -> bool,
        allowed: &str,
    ) -> Option<String> {
        if self.text(tunable).is_none() {
            let missing = format!("is not set; give it as a variable or as --{}: {allowed}", tunable.flag);
            self.mistake(tunable.variable, "", missing);
            return None;
        }
        self.formed(tunable, fits, allowed)
    }

    /// The value, parsed, where there is one.
    pub(crate) fn parsed<T: FromStr>(&mut self, tunable: &Tunable, allowed: &str) -> Option<T> {
        let text = self.text(tunable)?.to_owned();
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.wrong(tunable, &text, allowed);
        }
        parsed
    }

    /// Every member of a list, parsed.
    pub(crate) fn members<T: FromStr>(&mut self, tunable: &Tunable, allowed: &str) -> Vec<T> {
        let texts = self.list(tunable);
        let mut parsed = Vec::with_capacity(texts.len());
        for text in texts {
            match text.parse() {
                Ok(member) => parsed.push(member),
                Err(_) => self.wrong(tunable, &text, allowed),
            }
        }
        parsed
    }

    pub(crate) fn wrong(&mut self, tunable: &Tunable, value: &str, allowed: &str) {
        let name = self.name(tunable);
        self.mistake(name, value, allowed);
    }
}

/// ECS names, cluster or service (`[A-Za-z0-9_-]`, at most 255), or an ARN of one.
pub(crate) fn is_ecs_name(text: &str) -> bool {
    is_arn(text, "ecs") || is_name(text, 255, "_-")
}

/// `arn:<partition>:<service>:…`, without anything that could mean something else to an API or a shell.
pub(crate) fn is_arn(text: &str, service: &str) -> bool {
    let mut parts = text.splitn(6, ':');
    let arn =
        parts.next() == Some("arn") && parts.next().is_some_and(|partition| partition.starts_with("aws"));
    arn && parts.next() == Some(service)
        && parts.count() == 3
        && text.len() <= 2048
        && text.chars().all(|c| c.is_ascii_alphanumeric() || ":/_-.+=,@".contains(c))
}

pub(crate) fn is_name(text: &str, most: usize, also: &str) -> bool {
    (1..=most).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
}

/// A reference of a container image: registry and path in lower case, tag or digest (distribution/reference).
pub(crate) fn is_image(text: &str) -> bool {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, digest.strip_prefix("sha256:").is_some_and(is_sha256)),
        None => (text, true),
    };
    let name_at = rest.rfind('/').map_or(0, |at| at + 1);
    let (directory, last) = rest.split_at(name_at);
    let (name, tag) = last.split_once(':').unwrap_or((last, "latest"));
    let begins = rest.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/:".contains(c);
    let path = directory.chars().chain(name.chars()).all(fits) && !name.is_empty();
    digest && begins && path && rest.len() <= 255 && is_name(tag, 128, "._-")
}

/// A SHA-256 checksum in hex.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
}

/// Key or value of a tag, as far as the policy language takes it literally (`*`, `?` and `${` are
/// its own).
pub(crate) fn is_tag(text: &str, most: usize) -> bool {
    let fits = |c: char| c.is_alphanumeric() || " _.:/+-@".contains(c);
    (1..=most).contains(&text.chars().count()) && text.chars().all(fits)
}
