//! What was typed: flags first, then variables, then their aliases. Nothing is interpreted here but lists.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fmt,
};

use clap::ArgMatches;

use super::table::{ALL, Kind, Tunable};

/// Where variables come from: the process, or a test.
pub(crate) trait Environment {
    fn get(&self, name: &str) -> Option<OsString>;
    fn names(&self) -> Vec<OsString>;
}

/// The environment of this process.
pub(crate) struct ProcessEnvironment;

/// The text given for a setting and where it was given.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) texts: Vec<String>,
    pub(crate) origin: Origin,
}

/// Names a setting in messages as the user typed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(&'static str),
    Variable(&'static str),
}

/// One wrong setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InputMistake {
    /// `STATUS_CODE` or `--status-code`.
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) allowed: String,
}

/// Everything that was typed.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    given: HashMap<&'static str, Given>,
    pub(crate) mistakes: Vec<InputMistake>,
    pub(crate) warnings: Vec<String>,
}

/// Longest part of a wrong value that a message shows, characters.
const SHOWN: usize = 120;

impl Raw {
    /// Reads flags and variables; values that are not UTF-8 are mistakes.
    pub(crate) fn read(matches: &ArgMatches, environment: &impl Environment) -> Self {
        let mut raw = Self::default();
        for tunable in ALL {
            raw.read_one(tunable, matches, environment);
        }
        raw
    }

    fn read_one(&mut self, tunable: &'static Tunable, matches: &ArgMatches, environment: &impl Environment) {
        let flags = matches.try_get_many::<String>(tunable.flag).ok().flatten();
        if let Some(texts) = flags.map(|texts| texts.cloned().collect::<Vec<_>>()) {
            self.given.insert(tunable.variable, Given { texts, origin: Origin::Flag(tunable.flag) });
            return;
        }
        let mut taken: Option<(&'static str, String)> = None;
        for name in std::iter::once(tunable.variable).chain(tunable.aliases.iter().copied()) {
            let Some(value) = environment.get(name).filter(|value| !value.is_empty()) else { continue };
            let Ok(text) = value.into_string() else {
                self.mistake(name, "(not UTF-8)", "UTF-8 text");
                continue;
            };
            match &taken {
                Some((first, other)) if *other != text && !name.starts_with("AWS_") => {
                    self.warnings.push(format!("{first} and {name} differ; {first} is used"));
                }
                Some(_) => {}
                None => taken = Some((name, text)),
            }
        }
        if let Some((name, text)) = taken {
            self.given.insert(tunable.variable, Given { texts: vec![text], origin: Origin::Variable(name) });
        }
    }

    pub(crate) fn is_set(&self, tunable: &Tunable) -> bool {
        self.given.contains_key(tunable.variable)
    }

    /// Every text of a setting, as typed.
    pub(super) fn texts(&self, tunable: &Tunable) -> &[String] {
        self.given.get(tunable.variable).map_or(&[], |given| &given.texts)
    }

    /// The single text of a setting, as typed.
    pub(crate) fn text(&self, tunable: &Tunable) -> Option<&str> {
        self.given.get(tunable.variable)?.texts.last().map(String::as_str)
    }

    /// The members of a list setting.
    pub(crate) fn list(&mut self, tunable: &Tunable) -> Vec<String> {
        let Some(given) = self.given.get(tunable.variable).cloned() else { return Vec::new() };
        let mut members = Vec::new();
        for text in &given.texts {
            if text.trim_start().starts_with('[') {
                match serde_json::from_str::<Vec<String>>(text) {
                    Ok(array) => members.extend(array),
                    Err(error) => {
                        self.mistake(given.origin, text, format!("a JSON array of strings ({error})"));
                    }
                }
                continue;
            }
            let separates = |c: char| c == '\n' || (tunable.kind == Kind::CommaList && c == ',');
            members.extend(text.split(separates).map(str::trim).filter(|m| !m.is_empty()).map(str::to_owned));
        }
        members
    }

    /// The name that the user will recognise: where the setting was given, else its variable.
    pub(crate) fn name(&self, tunable: &Tunable) -> String {
        self.given.get(tunable.variable).map_or_else(|| tunable.variable.to_owned(), |g| g.origin.to_string())
    }

    pub(crate) fn mistake(&mut self, name: impl fmt::Display, value: &str, allowed: impl Into<String>) {
        let mut shown: String = value.chars().take(SHOWN).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        self.mistakes.push(InputMistake { name: name.to_string(), value: shown, allowed: allowed.into() });
    }
}

/// All variables that are set, by name, for the look-alike check.
pub(crate) fn variables(environment: &impl Environment) -> BTreeMap<String, OsString> {
    let names = environment.names().into_iter().filter_map(|name| name.into_string().ok());
    names.filter_map(|name| environment.get(&name).map(|value| (name, value))).collect()
}

// === impl ProcessEnvironment ===

impl Environment for ProcessEnvironment {
    fn get(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }

    fn names(&self) -> Vec<OsString> {
        std::env::vars_os().map(|(name, _)| name).collect()
    }
}

// === impl Origin ===

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

// === impl InputMistake ===

impl fmt::Display for InputMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value.is_empty() {
            return write!(f, "{}: {}", self.name, self.allowed);
        }
        write!(f, "{} {:?}: allowed is {}", self.name, self.value, self.allowed)
    }
}
