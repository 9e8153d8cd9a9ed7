//! Whether a request is faulted. No I/O; randomness comes from the seed and the number of the decision.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use httpfault_common::contract::{Fault, HeaderLine, Selection};
use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue, USER_AGENT},
};

/// Names the driver's own request, and is echoed in its answer.
pub(crate) const PROBE: HeaderName = HeaderName::from_static("x-httpfault-probe");

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the driver's own: answered with the fault, not counted.
    Probe,
    /// It gets the fault.
    Fault(Action),
    /// It is the application's.
    Spare,
}

/// What the fault does to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Answers it without the application.
    Answer,
    /// Lets the application answer it, and replaces the status of its answer.
    ReplaceStatus,
}

/// Whether the fault is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultIs {
    On,
    Over,
}

/// The header lines of a message, whoever parsed it.
pub(crate) trait Headers {
    /// The values of a header, whose name is in lower case.
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]>;
}

impl Headers for HeaderMap {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name).into_iter().map(HeaderValue::as_bytes)
    }
}

impl Headers for [httparse::Header<'_>] {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |line| line.name.eq_ignore_ascii_case(name)).map(|line| line.value)
    }
}

/// The part of a request that decides.
#[derive(Debug)]
pub(crate) struct Facts<'a, H: ?Sized> {
    pub(crate) method: &'a str,
    /// Path and query as sent: neither decoded nor normalised, because that is how prefixes are typed.
    pub(crate) path: &'a str,
    pub(crate) headers: &'a H,
}

/// Decides for every request of one fault.
pub(crate) struct Decider {
    action: Action,
    selection: Selection,
    /// Share of selected requests, 0 to 1.
    share: f64,
    seed: u64,
    /// Number of the next decision that needs a draw.
    draws: AtomicU64,
    probe_token: String,
    /// Whether probes are still expected.
    probing: AtomicBool,
}

impl Decider {
    pub(crate) fn new(fault: &Fault, probe_token: String) -> Self {
        Self {
            action: if fault.replacement.is_some() { Action::Answer } else { Action::ReplaceStatus },
            selection: fault.selection.clone(),
            share: fault.percent / 100.0,
            seed: fault.seed.unwrap_or_else(|| fastrand::u64(..)),
            draws: AtomicU64::new(0),
            probe_token,
            probing: AtomicBool::new(true),
        }
    }

    /// The verdict on a request that can't be read: there is one only where none is spared.
    pub(crate) fn verdict_on_unread(&self, now: FaultIs) -> Option<Action> {
        (now == FaultIs::On && self.faults_all()).then_some(self.action)
    }

    /// Whether every request gets the fault while it is on.
    fn faults_all(&self) -> bool {
        self.share >= 1.0 && self.selection.is_everything()
    }

    /// Whether no request gets it.
    pub(crate) fn faults_none(&self) -> bool {
        self.share <= 0.0
    }

    /// Whether a fault needs the application's answer.
    pub(crate) fn calls_application(&self) -> bool {
        self.action == Action::ReplaceStatus
    }

    /// The token that the answer to a probe echoes.
    pub(crate) fn probe_token(&self) -> &str {
        &self.probe_token
    }

    /// From now on a token means nothing: whoever saw it can't pass a request off as the driver's.
    pub(crate) fn end_probing(&self) {
        self.probing.store(false, Ordering::Relaxed);
    }

    /// Each selected request takes the next draw, so that with a seed the sequence of verdicts is that of the requests.
    pub(crate) fn verdict<H: Headers + ?Sized>(&self, facts: Facts<'_, H>, now: FaultIs) -> Verdict {
        if self.is_probe(facts.headers) {
            return Verdict::Probe;
        }
        let faulted = now == FaultIs::On && selected(&self.selection, facts) && self.next_is_in_share();
        if faulted { Verdict::Fault(self.action) } else { Verdict::Spare }
    }

    fn is_probe(&self, headers: &(impl Headers + ?Sized)) -> bool {
        let token = self.probe_token.as_bytes();
        !token.is_empty()
            && self.probing.load(Ordering::Relaxed)
            && headers.values(PROBE.as_str()).next() == Some(token)
    }

    fn next_is_in_share(&self) -> bool {
        if self.share >= 1.0 {
            return true;
        }
        draw(self.seed, self.draws.fetch_add(1, Ordering::Relaxed)) < self.share
    }
}

/// The `number`th draw of a seed, 0 to 1. A function and not a generator, so that connections need no lock to share it.
fn draw(seed: u64, number: u64) -> f64 {
    // An odd step through all of 2^64 (the golden ratio, as in SplitMix64) keeps the seeds of neighbours far apart.
    let step = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    fastrand::Rng::with_seed(seed.wrapping_add(step)).f64()
}

/// The semantics that [`Selection`] documents: an exclusion wins, lists are alternatives, every header must match.
/// Methods are compared without case, so that `get` is not a filter that nothing passes.
fn selected<H: Headers + ?Sized>(selection: &Selection, facts: Facts<'_, H>) -> bool {
    let begins = |prefix: &String| facts.path.starts_with(prefix.as_str());
    let excluded = selection.exclude_paths.iter().any(begins)
        || selection.exclude_user_agents.iter().any(|part| user_agent_contains(facts.headers, part));
    !excluded
        && (selection.paths.is_empty() || selection.paths.iter().any(begins))
        && (selection.methods.is_empty()
            || selection.methods.iter().any(|method| method.eq_ignore_ascii_case(facts.method)))
        && selection.headers.iter().all(|wanted| has_header(facts.headers, wanted))
}

fn has_header(headers: &(impl Headers + ?Sized), wanted: &HeaderLine) -> bool {
    headers.values(wanted.name.as_str()).any(|value| value == wanted.value.as_bytes())
}

fn user_agent_contains(headers: &(impl Headers + ?Sized), part: &str) -> bool {
    let part = part.to_ascii_lowercase();
    headers
        .values(USER_AGENT.as_str())
        .any(|value| String::from_utf8_lossy(value).to_ascii_lowercase().contains(&part))
}

/// Path and query of a request target in any of its forms (RFC 9112 section 3.2).
pub(crate) fn path_of(target: &str) -> &str {
    if target.starts_with('/') {
        return target;
    }
    match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => target,
    }
}

#[cfg(test)]
mod tests;
