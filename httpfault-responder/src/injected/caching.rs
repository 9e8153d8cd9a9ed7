//! What HTTP caches are told (RFC 9111): a fault that a cache keeps outlives its end.

use hyper::{
    HeaderMap, StatusCode,
    header::{AGE, CACHE_CONTROL, ETAG, EXPIRES, HeaderName, HeaderValue, LAST_MODIFIED, PRAGMA},
};

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Headers by which an application tells caches how long to keep its answer, those of common gateways included: they
/// go before Cache-Control where they are known (RFC 9213).
const LIFETIMES: [HeaderName; 9] = [
    CACHE_CONTROL,
    EXPIRES,
    AGE,
    PRAGMA,
    HeaderName::from_static("cdn-cache-control"),
    HeaderName::from_static("cloudflare-cdn-cache-control"),
    HeaderName::from_static("akamai-cache-control"),
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("x-accel-expires"),
];

/// Unless the fault was given its own word.
pub(super) fn forbid(given: &mut HeaderMap) {
    if !given.contains_key(CACHE_CONTROL) {
        given.insert(CACHE_CONTROL, NO_STORE);
    }
}

/// Takes away what was said of an answer with another status.
pub(super) fn forget(headers: &mut HeaderMap, becomes: StatusCode) {
    for name in LIFETIMES {
        headers.remove(name);
    }
    // A 304 with a validator makes caches keep what they have for longer (RFC 9111 section 4.3.4).
    if becomes == StatusCode::NOT_MODIFIED {
        headers.remove(ETAG);
        headers.remove(LAST_MODIFIED);
    }
}
