//! Probes of the steady state, from settings (one) and from a file (several). What can be asked for is what Litmus'
//! httpProbe has.

use std::{fmt, fs, path::Path, time::Duration};

use httpfault_common::contract::HeaderLine;
use serde::{Deserialize, Serialize};

use super::{
    criterion::StatusCriterion,
    parse::is_name,
    probe_url::ProbeUrl,
    raw::Raw,
    table::{self as t, Tunable},
};

/// Most probes of a run: each sends its own requests.
const MOST: usize = 20;
/// Longest file, bytes.
const MOST_BYTES: u64 = 1024 * 1024;
/// Longest part of PROBE_BODY that reports show, characters.
const SHOWN: usize = 60;
/// The name of the probe that the settings describe.
const OF_SETTINGS: &str = "probe";

/// A request that is sent again and again, and what its answer has to be.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) name: String,
    pub(crate) url: ProbeUrl,
    pub(crate) method: Method,
    pub(crate) headers: Vec<HeaderLine>,
    pub(crate) request_body: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) status: StatusCriterion,
    /// Text that the answer's body has to contain.
    pub(crate) body: Option<String>,
    /// For the whole of one request.
    pub(crate) timeout: Duration,
    /// From the beginning of one request to that of the next.
    pub(crate) interval: Duration,
    /// How many samples of a phase may fail.
    pub(crate) tolerated_failures: u32,
    pub(crate) during: During,
    /// So many failures in a row while the fault may be on end the run.
    pub(crate) stop_after: Option<u32>,
    pub(crate) skip_verify: bool,
    pub(crate) edges: Edges,
}

/// Whether what it sees before and after the fault counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edges {
    pub(crate) before: bool,
    pub(crate) after: bool,
}

impl Edges {
    pub(crate) const BOTH: Self = Self { before: true, after: true };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
}

/// What a probe has to do while the fault is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum During {
    /// Clients don't notice: retries and breakers work.
    #[default]
    Hold,
    /// The fault is seen from outside.
    Fail,
    /// Only before and after count.
    Either,
}

/// A probe as it is typed, all of it text.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Typed {
    name: String,
    url: String,
    method: Option<String>,
    headers: Vec<String>,
    request_body: Option<String>,
    content_type: Option<String>,
    status: Option<String>,
    body: Option<String>,
    timeout: Option<String>,
    interval: Option<String>,
    tolerated_failures: Option<u32>,
    during: Option<String>,
    stop_after: Option<u32>,
    insecure_skip_verify: bool,
}

/// A field that is wrong: its name, the value that may be shown, and what is allowed.
type Wrong = (&'static str, String, String);

/// The settings by the fields that they are.
const FIELDS: [(&str, &Tunable); 13] = [
    ("url", &t::PROBE_URL),
    ("method", &t::PROBE_METHOD),
    ("headers", &t::PROBE_HEADERS),
    ("request_body", &t::PROBE_REQUEST_BODY),
    ("content_type", &t::PROBE_CONTENT_TYPE),
    ("status", &t::PROBE_STATUS),
    ("body", &t::PROBE_BODY),
    ("timeout", &t::PROBE_TIMEOUT),
    ("interval", &t::PROBE_INTERVAL),
    ("tolerated_failures", &t::PROBE_TOLERATED_FAILURES),
    ("during", &t::PROBE_DURING),
    ("stop_after", &t::PROBE_STOP_AFTER),
    ("insecure_skip_verify", &t::PROBE_INSECURE_SKIP_VERIFY),
];

/// Reads all probes.
pub(super) fn read_probes(raw: &mut Raw) -> Vec<Probe> {
    let mut probes = Vec::new();
    if raw.is_set(&t::PROBE_URL) {
        let (probe, wrong) = checked(typed(raw));
        for (field, value, allowed) in wrong {
            let tunable = FIELDS.iter().find(|(name, _)| *name == field).map(|(_, tunable)| *tunable);
            raw.wrong(tunable.unwrap_or(&t::PROBE_URL), &value, &allowed);
        }
        probes.extend(probe);
    } else {
        for (_, tunable) in FIELDS {
            if raw.is_set(tunable) {
                let name = raw.name(tunable);
                raw.mistake(name, "", "is set without PROBE_URL; a probe of PROBES_FILE has all of its own");
            }
        }
    }
    if let Some(path) = raw.text(&t::PROBES_FILE).map(str::to_owned) {
        probes.extend(of_file(raw, &path));
    }
    let mut seen = std::collections::BTreeSet::new();
    for probe in &probes {
        if !seen.insert(&probe.name) {
            raw.mistake("PROBES_FILE", &probe.name, "a name of its own for each probe");
        }
    }
    if probes.len() > MOST {
        raw.mistake("PROBES_FILE", &format!("{} probes", probes.len()), format!("at most {MOST}"));
    }
    probes
}

fn typed(raw: &mut Raw) -> Typed {
    let text = |raw: &Raw, tunable: &Tunable| raw.text(tunable).map(str::to_owned);
    let set = |raw: &Raw, tunable: &Tunable| raw.is_set(tunable);
    Typed {
        name: OF_SETTINGS.to_owned(),
        url: text(raw, &t::PROBE_URL).unwrap_or_default(),
        method: text(raw, &t::PROBE_METHOD),
        headers: raw.list(&t::PROBE_HEADERS),
        request_body: text(raw, &t::PROBE_REQUEST_BODY),
        content_type: text(raw, &t::PROBE_CONTENT_TYPE),
        status: text(raw, &t::PROBE_STATUS),
        body: text(raw, &t::PROBE_BODY),
        timeout: text(raw, &t::PROBE_TIMEOUT),
        interval: text(raw, &t::PROBE_INTERVAL),
        tolerated_failures: Some(raw.number(&t::PROBE_TOLERATED_FAILURES, 0..=u32::MAX, " samples")),
        during: text(raw, &t::PROBE_DURING),
        stop_after: set(raw, &t::PROBE_STOP_AFTER)
            .then(|| raw.number(&t::PROBE_STOP_AFTER, 1..=u32::MAX, " samples")),
        insecure_skip_verify: raw.switch(&t::PROBE_INSECURE_SKIP_VERIFY),
    }
}

fn of_file(raw: &mut Raw, path: &str) -> Vec<Probe> {
    let typed = match read_file(Path::new(path)) {
        Ok(typed) => typed,
        Err(error) => {
            raw.mistake(
                "PROBES_FILE",
                path,
                format!("a readable file with a JSON array of probes ({error})"),
            );
            return Vec::new();
        }
    };
    let mut probes = Vec::new();
    for (index, typed) in typed.into_iter().enumerate() {
        let (probe, wrong) = checked(typed);
        for (field, value, allowed) in wrong {
            raw.mistake(format!("{field} of probe {} in {path}", index + 1), &value, allowed);
        }
        probes.extend(probe);
    }
    probes
}

fn read_file(path: &Path) -> Result<Vec<Typed>, String> {
    let about = fs::metadata(path).map_err(|error| error.to_string())?;
    if about.len() > MOST_BYTES {
        return Err(format!("it has {} bytes", about.len()));
    }
    let text = fs::read(path).map_err(|error| error.to_string())?;
    serde_json::from_slice(&text).map_err(|error| error.to_string())
}

/// The probe, and everything that is wrong with it.
fn checked(typed: Typed) -> (Option<Probe>, Vec<Wrong>) {
    let mut wrong: Vec<Wrong> = Vec::new();
    let mut mistake = |field, value: &str, allowed: &str| {
        wrong.push((field, value.to_owned(), allowed.to_owned()));
    };
    if !is_name(&typed.name, 64, " ._-") {
        mistake("name", &typed.name, "1 to 64 letters, digits, spaces and ._-");
    }
    let url = ProbeUrl::new(&typed.url);
    if let Err(why) = &url {
        // It may hold a secret.
        mistake("url", "(not shown)", why);
    }
    let method = match typed.method.as_deref().unwrap_or("GET").to_ascii_uppercase().as_str() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        _ => {
            mistake("method", typed.method.as_deref().unwrap_or_default(), "GET or HEAD or POST");
            Method::Get
        }
    };
    let mut headers = Vec::new();
    for line in &typed.headers {
        match line.parse::<HeaderLine>() {
            Ok(line) => headers.push(line),
            Err(_) => mistake("headers", "(not shown)", "'Name: value' (RFC 9110 section 5), one a line"),
        }
    }
    for (field, given) in [("request_body", &typed.request_body), ("content_type", &typed.content_type)] {
        if given.is_some() && method != Method::Post {
            mistake(field, "", "is for POST; leave it out, or set the method to POST");
        }
    }
    if typed.body.is_some() && method == Method::Head {
        mistake("body", "", "answers to HEAD have no body; leave it out, or use GET");
    }
    let status = typed.status.as_deref().unwrap_or(t::PROBE_STATUS.default).parse::<StatusCriterion>();
    if let Err(allowed) = &status {
        mistake("status", typed.status.as_deref().unwrap_or_default(), allowed);
    }
    let mut time = |field, text: &Option<String>, tunable: &Tunable, least: Duration| {
        let text = text.as_deref().unwrap_or(tunable.default);
        let time = duration(text).filter(|time| (least..=Duration::from_secs(3600)).contains(time));
        if time.is_none() {
            mistake(
                field,
                text,
                "a time such as 500ms, 2s or 1m (a number alone is seconds), at most an hour",
            );
        }
        time.unwrap_or(least)
    };
    let timeout = time("timeout", &typed.timeout, &t::PROBE_TIMEOUT, Duration::from_millis(10));
    let interval = time("interval", &typed.interval, &t::PROBE_INTERVAL, Duration::from_millis(50));
    let during = match typed.during.as_deref().unwrap_or("hold") {
        "hold" => During::Hold,
        "fail" => During::Fail,
        "either" => During::Either,
        other => {
            mistake("during", other, "hold or fail or either");
            During::Hold
        }
    };
    if typed.stop_after == Some(0) {
        mistake("stop_after", "0", "a number from 1");
    }
    if typed.stop_after.is_some() && during == During::Fail {
        mistake("stop_after", "", "a probe that has to fail can't stop the run by failing; leave it out");
    }
    let (Ok(url), Ok(status), true) = (url, status, wrong.is_empty()) else { return (None, wrong) };
    let probe = Probe {
        name: typed.name,
        url,
        method,
        headers,
        request_body: typed.request_body,
        content_type: typed.content_type,
        status,
        body: typed.body,
        timeout,
        interval,
        tolerated_failures: typed.tolerated_failures.unwrap_or(0),
        during,
        stop_after: typed.stop_after,
        skip_verify: typed.insecure_skip_verify,
        edges: Edges::BOTH,
    };
    (Some(probe), wrong)
}

/// `500ms`, `2s`, `1m`; a number alone is seconds.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" | "" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    }
}

// === impl Method ===

impl Method {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
        }
    }
}

// === impl Probe ===

impl Probe {
    /// One that is described elsewhere, in the fields of PROBES_FILE; every mistake in one text.
    pub(crate) fn of_fields(fields: serde_json::Value, edges: Edges) -> Result<Self, String> {
        let typed: Typed = serde_json::from_value(fields).map_err(|error| error.to_string())?;
        let (probe, wrong) = checked(typed);
        let wrong: Vec<String> = wrong
            .into_iter()
            .map(|(field, value, allowed)| format!("{field} {value:?}: allowed is {allowed}"))
            .collect();
        probe.map(|probe| Self { edges, ..probe }).ok_or_else(|| wrong.join("; "))
    }

    /// What its answer has to be.
    pub(crate) fn expects(&self) -> String {
        let body = self.body.as_ref().map(|body| {
            let shown: String = body.chars().take(SHOWN).collect();
            format!(", body contains {shown:?}")
        });
        format!("status {}{}", self.status, body.unwrap_or_default())
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let during = match self.during {
            During::Hold => "has to hold while the fault is on",
            During::Fail => "has to fail while the fault is on",
            During::Either => "may fail while the fault is on",
        };
        write!(f, "probe {}: {} {}, {}; {during}", self.name, self.method.as_str(), self.url, self.expects())
    }
}
