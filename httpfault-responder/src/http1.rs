//! HTTP/1.0 and HTTP/1.1.

/// Held while a request is being answered.
pub(crate) struct Busy;
