//! What was seen, in atomics, so that the driver can read it at any time.

use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use httpfault_common::contract::Counters;
use hyper::Version;

/// Counters of one responder. Units: requests, except where named otherwise. The driver's own probes are in none.
#[derive(Debug)]
pub struct Stats {
    shards: [Shard; SHARDS],
    pub(crate) open: AtomicU64,
    pub(crate) saturated: AtomicBool,
    /// Connections that were open when there were no descriptors for more.
    pub(crate) most_open: AtomicU64,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            shards: Default::default(),
            open: AtomicU64::new(0),
            saturated: AtomicBool::new(false),
            most_open: AtomicU64::new(u64::MAX),
        }
    }
}

/// Threads that count at the same time without getting in each other's way; more share.
const SHARDS: usize = 8;

/// What one thread counts, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Shard {
    pub(crate) http10: AtomicU64,
    pub(crate) http11: AtomicU64,
    pub(crate) http2: AtomicU64,
    pub(crate) faulted: AtomicU64,
    pub(crate) forwarded: AtomicU64,
    pub(crate) spared: AtomicU64,
    pub(crate) tls: AtomicU64,
    pub(crate) not_http: AtomicU64,
    pub(crate) proxy_protocol: AtomicU64,
    pub(crate) h2c_refused: AtomicU64,
    pub(crate) upstream_errors: AtomicU64,
}

impl Stats {
    /// Writes the request side of `counters`; the kernel's side is left alone.
    pub fn fill(&self, counters: &mut Counters) {
        counters.requests_http10 = self.sum(|shard| &shard.http10);
        counters.requests_http11 = self.sum(|shard| &shard.http11);
        counters.requests_http2 = self.sum(|shard| &shard.http2);
        counters.faulted = self.faulted();
        counters.forwarded = self.sum(|shard| &shard.forwarded);
        counters.spared = self.sum(|shard| &shard.spared);
        counters.tls = self.sum(|shard| &shard.tls);
        counters.not_http = self.sum(|shard| &shard.not_http);
        counters.proxy_protocol = self.sum(|shard| &shard.proxy_protocol);
        counters.h2c_refused = self.sum(|shard| &shard.h2c_refused);
        counters.upstream_errors = self.sum(|shard| &shard.upstream_errors);
    }

    /// Requests that were answered with the fault.
    pub fn faulted(&self) -> u64 {
        self.sum(|shard| &shard.faulted)
    }

    /// Client connections that are open now.
    pub fn open_connections(&self) -> u64 {
        self.open.load(Relaxed)
    }

    /// Whether the limit of connections is reached: new ones wait, so nothing more should be steered here.
    pub fn saturated(&self) -> bool {
        self.saturated.load(Relaxed)
    }

    /// This thread's part.
    pub(crate) fn here(&self) -> &Shard {
        &self.shards[shard_of_thread()]
    }

    pub(crate) fn count_request(&self, version: Version) {
        let here = self.here();
        let counter = match version {
            Version::HTTP_2 => &here.http2,
            Version::HTTP_10 => &here.http10,
            _ => &here.http11,
        };
        add_one(counter);
    }

    fn sum(&self, counter: impl Fn(&Shard) -> &AtomicU64) -> u64 {
        self.shards.iter().map(|shard| counter(shard).load(Relaxed)).sum()
    }
}

pub(crate) fn add_one(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

fn shard_of_thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    MINE.with(|mine| {
        mine.get().unwrap_or_else(|| {
            let number = THREADS.fetch_add(1, Relaxed) % SHARDS;
            mine.set(Some(number));
            number
        })
    })
}
