//! HTTP/1 as far as the load needs it: requests come whole and one at a time.

use super::Next;

/// As long as the agent's answer.
const KEEP: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nx-httpfault: floor-12345-1\r\ncontent-type: text/plain\r\n\
    cache-control: no-store\r\ncontent-length: 57\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n\
    503 Service Unavailable: fault injected for a measurement";
const CLOSE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nx-httpfault: floor-12345-1\r\ncontent-type: text/plain\r\n\
    cache-control: no-store\r\ncontent-length: 57\r\nconnection: close\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n\
    503 Service Unavailable: fault injected for a measurement";

/// The answer to what was read, and what follows it.
pub(super) fn answer(input: &[u8]) -> (&'static [u8], Next) {
    let asks_to_close = input.windows(CLOSE_OPTION.len()).any(|window| window == CLOSE_OPTION);
    if asks_to_close { (CLOSE, Next::Close) } else { (KEEP, Next::Wait) }
}

const CLOSE_OPTION: &[u8] = b"ection: close";
