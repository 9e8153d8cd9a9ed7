//! Limits of the blast radius, of the settings and of mounted files. Settings can only make them stricter.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    parse::{is_name, is_tag},
    raw::Raw,
    table::{self as t, Tunable},
};
use crate::fleet::InstanceId;

/// A file at this place holds whatever HTTPFAULT_GUARDS says: who can set variables can't take it away.
const ALWAYS: &str = "/etc/httpfault/guards.json";
/// Longest file that is read, bytes.
const MOST_BYTES: u64 = 1024 * 1024;

const TAG: &str = "key or key=value, letters, digits, spaces and _.:/+-@ in both";
const ZONE: &str = "an availability zone such as eu-west-1a";
const INSTANCE: &str = "EC2 instance ids such as i-0123456789abcdef0, separated by commas";

/// What holds: of numbers the smallest, of the others each one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guards {
    pub(crate) max_tasks: Option<Held<usize>>,
    pub(crate) max_percent: Option<Held<u8>>,
    pub(crate) tags: Vec<Held<RequiredTag>>,
    /// Tasks elsewhere are not taken.
    pub(crate) zones: Vec<Held<BTreeSet<String>>>,
    pub(crate) instances: Vec<Held<BTreeSet<String>>>,
}

/// A guard, and who asked for it.
#[derive(Clone, Debug)]
pub(crate) struct Held<T> {
    pub(crate) value: T,
    pub(crate) from: Source,
}

/// Where a guard was given.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The setting as it was typed.
    Setting(String),
    File(PathBuf),
}

/// A tag that a task or its service must have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RequiredTag {
    pub(crate) key: String,
    /// `None` is any value.
    pub(crate) value: Option<String>,
}

/// The content of a file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GuardsFile {
    max_tasks: Option<usize>,
    max_percent: Option<u8>,
    require_tag: Vec<String>,
    availability_zone: Vec<String>,
    instance_ids: Vec<String>,
}

/// Reads the guards of settings and files.
pub(super) fn read_guards(raw: &mut Raw) -> Guards {
    let mut guards = Guards::default();
    let most = raw.is_set(&t::MAX_TASKS).then(|| raw.number(&t::MAX_TASKS, 1..=usize::MAX, ""));
    let share = raw.is_set(&t::MAX_PERCENT).then(|| raw.number(&t::MAX_PERCENT, 1..=100, " percent"));
    let typed = GuardsFile {
        max_tasks: most,
        max_percent: share,
        require_tag: raw.list(&t::REQUIRE_TAG),
        availability_zone: raw.list(&t::AVAILABILITY_ZONE),
        instance_ids: raw.list(&t::INSTANCE_IDS),
    };
    let names = raw_names(raw);
    let wrong = guards.take(&typed, |tunable| Source::Setting(name_of(&names, tunable)));
    wrong.into_iter().for_each(|(tunable, value, allowed)| raw.wrong(tunable, &value, allowed));

    let named = raw.text(&t::GUARDS).map(PathBuf::from);
    let always = PathBuf::from(ALWAYS);
    let both = named.as_ref() == Some(&always);
    if !both && always.exists() {
        guards.take_file(raw, always);
    }
    if let Some(path) = named {
        guards.take_file(raw, path);
    }
    guards
}

const OF_SETTINGS: [&Tunable; 5] =
    [&t::MAX_TASKS, &t::MAX_PERCENT, &t::REQUIRE_TAG, &t::AVAILABILITY_ZONE, &t::INSTANCE_IDS];

fn raw_names(raw: &Raw) -> Vec<(&'static str, String)> {
    OF_SETTINGS.iter().map(|tunable| (tunable.variable, raw.name(tunable))).collect()
}

fn name_of(names: &[(&'static str, String)], tunable: &Tunable) -> String {
    let found = names.iter().find(|(variable, _)| *variable == tunable.variable);
    found.map_or_else(|| tunable.variable.to_owned(), |(_, name)| name.clone())
}

type Wrong = (&'static Tunable, String, &'static str);

impl Guards {
    fn take_file(&mut self, raw: &mut Raw, path: PathBuf) {
        let content = match read_file(&path) {
            Ok(content) => content,
            Err(error) => return raw.mistake("HTTPFAULT_GUARDS", &path.display().to_string(), error),
        };
        let wrong = self.take(&content, |_| Source::File(path.clone()));
        for (tunable, value, allowed) in wrong {
            let field = tunable.variable.to_ascii_lowercase();
            raw.mistake(format!("{field} in {}", path.display()), &value, allowed);
        }
    }

    /// Adds guards of one source; the result is what can't be one.
    fn take(&mut self, given: &GuardsFile, from: impl Fn(&'static Tunable) -> Source) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        if let Some(most) = given.max_tasks {
            stricter(&mut self.max_tasks, most, from(&t::MAX_TASKS));
            if most == 0 {
                wrong.push((&t::MAX_TASKS, most.to_string(), "a number from 1"));
            }
        }
        if let Some(percent) = given.max_percent {
            stricter(&mut self.max_percent, percent, from(&t::MAX_PERCENT));
            if !(1..=100).contains(&percent) {
                wrong.push((&t::MAX_PERCENT, percent.to_string(), "a number from 1 to 100 percent"));
            }
        }
        for text in &given.require_tag {
            match RequiredTag::new(text) {
                Some(value) => self.tags.push(Held { value, from: from(&t::REQUIRE_TAG) }),
                None => wrong.push((&t::REQUIRE_TAG, text.clone(), TAG)),
            }
        }
        let mut places = |tunable, texts: &[String], into: &mut Vec<Held<BTreeSet<String>>>, fits: Fits| {
            let bad = texts.iter().filter(|text| !(fits.form)(text));
            wrong.extend(bad.map(|text| (tunable, text.clone(), fits.allowed)));
            if !texts.is_empty() {
                into.push(Held { value: texts.iter().cloned().collect(), from: from(tunable) });
            }
        };
        let zone = Fits { form: |text| is_name(text, 32, "-"), allowed: ZONE };
        places(&t::AVAILABILITY_ZONE, &given.availability_zone, &mut self.zones, zone);
        let instance = Fits { form: |text| InstanceId::new(text).is_some(), allowed: INSTANCE };
        places(&t::INSTANCE_IDS, &given.instance_ids, &mut self.instances, instance);
        wrong
    }
}

struct Fits {
    form: fn(&str) -> bool,
    allowed: &'static str,
}

/// Of two that are equal the later one is named: a file's.
fn stricter<T: Ord + Copy>(held: &mut Option<Held<T>>, value: T, from: Source) {
    if held.as_ref().is_none_or(|held| value <= held.value) {
        *held = Some(Held { value, from });
    }
}

fn read_file(path: &Path) -> Result<GuardsFile, String> {
    let form = "a readable file with a JSON object of max_tasks, max_percent, require_tag, availability_zone and \
                instance_ids";
    let failed = |why: String| format!("{form} ({why})");
    let about = fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    if about.len() > MOST_BYTES {
        return Err(failed(format!("it has {} bytes", about.len())));
    }
    let text = fs::read(path).map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))
}

// === impl RequiredTag ===

impl RequiredTag {
    fn new(text: &str) -> Option<Self> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (text, None),
        };
        let fits = is_tag(key, 128) && value.is_none_or(|value| value.is_empty() || is_tag(value, 256));
        fits.then(|| Self { key: key.to_owned(), value: value.map(str::to_owned) })
    }
}

impl fmt::Display for RequiredTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.key),
            None => f.write_str(&self.key),
        }
    }
}

// === impl Source ===

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(name) => f.write_str(name),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}
