//! What a message is, by its first bytes.

use httpfault_common::abi::existing::kind;

/// Four bytes as they are compared.
const fn word(bytes: &[u8; 4]) -> u32 {
    u32::from_be_bytes(*bytes)
}

/// Whether a request of HTTP/1 begins here: the methods of RFC 9110 section 9 and RFC 5789, by their first four bytes.
#[inline(always)]
pub(crate) fn begins_request(head: &[u8; 8]) -> bool {
    let first = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    first == word(b"GET ")
        || first == word(b"POST")
        || first == word(b"HEAD")
        || first == word(b"PUT ")
        || first == word(b"DELE")
        || first == word(b"PATC")
        || first == word(b"OPTI")
        || first == word(b"TRAC")
        || first == word(b"CONN")
}

/// What a payload speaks, if its beginning is the beginning of a message.
#[inline(always)]
pub(crate) fn of(head: &[u8; 8]) -> u32 {
    if begins_request(head) {
        return kind::HTTP1;
    }
    if u32::from_be_bytes([head[0], head[1], head[2], head[3]]) == word(b"PRI ") {
        return kind::HTTP2;
    }
    // Content type, then the version 3.0 to 3.4.
    if head[0] >= 0x14 && head[0] <= 0x17 && head[1] == 3 && head[2] <= 4 {
        return kind::TLS;
    }
    // FIN or not, no extension bits but the first (compression), a known opcode, and the mask that clients must set.
    let opcode = head[0] & 0x0f;
    if head[1] & 0x80 != 0 && head[0] & 0x30 == 0 && (opcode <= 2 || (opcode >= 8 && opcode <= 10)) {
        return kind::WEBSOCKET;
    }
    // A length below 64 KB, a known type, and the reserved bit of the stream's number not set.
    if head[0] == 0 && head[3] <= 9 && head[5] & 0x80 == 0 {
        return kind::HTTP2;
    }
    kind::OTHER
}
