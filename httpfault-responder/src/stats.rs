//! What was seen, in atomics, so that the driver can read it at any time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use httpfault_common::contract::Counters;
use hyper::Version;

/// Counters of one responder. Units: requests, except where named otherwise. The driver's own probes are in none.
#[derive(Debug, Default)]
pub struct Stats {
    pub(crate) http10: AtomicU64,
    pub(crate) http11: AtomicU64,
    pub(crate) http2: AtomicU64,
    pub(crate) faulted: AtomicU64,
    pub(crate) forwarded: AtomicU64,
    pub(crate) spared: AtomicU64,
    pub(crate) tls: AtomicU64,
    pub(crate) not_http: AtomicU64,
    pub(crate) upstream_errors: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) saturated: AtomicBool,
}

impl Stats {
    /// Writes the request side of `counters`; the kernel's side is left alone.
    pub fn fill(&self, counters: &mut Counters) {
        counters.requests_http10 = self.http10.load(Relaxed);
        counters.requests_http11 = self.http11.load(Relaxed);
        counters.requests_http2 = self.http2.load(Relaxed);
        counters.faulted = self.faulted.load(Relaxed);
        counters.forwarded = self.forwarded.load(Relaxed);
        counters.spared = self.spared.load(Relaxed);
        counters.tls = self.tls.load(Relaxed);
        counters.not_http = self.not_http.load(Relaxed);
        counters.upstream_errors = self.upstream_errors.load(Relaxed);
    }

    /// Requests that were answered with the fault.
    pub fn faulted(&self) -> u64 {
        self.faulted.load(Relaxed)
    }

    /// Client connections that are open now.
    pub fn open_connections(&self) -> u64 {
        self.open.load(Relaxed)
    }

    /// Whether the limit of connections is reached: new ones wait, so nothing more should be steered here.
    pub fn saturated(&self) -> bool {
        self.saturated.load(Relaxed)
    }

    pub(crate) fn count_request(&self, version: Version) {
        let counter = match version {
            Version::HTTP_2 => &self.http2,
            Version::HTTP_10 => &self.http10,
            _ => &self.http11,
        };
        add_one(counter);
    }
}

pub(crate) fn add_one(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
