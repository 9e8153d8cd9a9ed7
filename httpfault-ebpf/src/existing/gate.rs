//! The gate: a socket filter on one of the application's own sockets. It runs before TCP accepts a segment; one that it
//! refuses was never here, and the client's TCP sends it again.

use aya_ebpf::programs::SkBuffContext;
use httpfault_common::abi::existing::{Watched, kind, note, state};

use crate::{
    kind as kinds,
    maps::{alive, is_corked, now, tell, watched},
};

/// Where a TCP header (RFC 9293 section 3.1) has its acknowledgement number and its length.
const ACK: usize = 8;
const OFFSET: usize = 12;

/// Whether TCP may see this segment.
#[inline(always)]
pub(crate) fn lets_in(ctx: &SkBuffContext) -> bool {
    let Some((cookie, connection)) = watched(ctx) else { return true };
    let Ok(ack) = ctx.load::<[u8; 4]>(ACK) else { return true };
    let Ok(offset) = ctx.load::<u8>(OFFSET) else { return true };
    let header = u32::from(offset >> 4) * 4;
    let ack = u32::from_be_bytes(ack);
    // SAFETY: the map returned a valid pointer. Segments of one connection come one after the other; what the keeper
    // writes at the same time are single aligned fields.
    let connection = unsafe { &mut *connection };
    connection.ack = ack;
    let length = ctx.len();
    if length <= header {
        return true;
    }
    // A shorter payload is no beginning that could be told: eight zero bytes would be a frame of HTTP/2.
    let head = if length >= header + 8 {
        ctx.load::<[u8; 8]>(header as usize).unwrap_or([0xff; 8])
    } else {
        [0xff; 8]
    };
    let let_in = decide(connection, cookie, &head);
    if let_in {
        note_payload(connection, ack, &head);
    } else {
        connection.refused += 1;
    }
    let_in
}

#[inline(always)]
fn decide(connection: &mut Watched, cookie: u64, head: &[u8; 8]) -> bool {
    let (keeper, agent) = alive();
    if !keeper {
        return true;
    }
    if is_corked(cookie, kinds::begins_request(head)) {
        return false;
    }
    match connection.state {
        state::TO_RESET => {
            tell(cookie, note::REFUSED);
            false
        }
        // Without the agent nobody would answer: the client sends it again when the connection was given back.
        state::ARMED | state::CAPTURED if !agent => false,
        // The gate decides, not the verdict: while the socket is locked a request waits in its backlog, and what
        // follows comes here before the verdict has seen its head.
        state::ARMED if kinds::begins_request(head) => {
            connection.state = state::CAPTURED;
            true
        }
        state::ARMED => {
            connection.state = state::FOREIGN;
            connection.kind = kinds::of(head);
            tell(cookie, note::REFUSED);
            false
        }
        state::FOREIGN => false,
        state::HELD => !kinds::begins_request(head),
        _ => true,
    }
}

#[inline(always)]
fn note_payload(connection: &mut Watched, ack: u32, head: &[u8; 8]) {
    connection.payload_ns = now();
    connection.payloads += 1;
    connection.payload_ack = ack;
    let reaches_application = u64::from(connection.state == state::WATCHED);
    match kinds::of(head) {
        kind::HTTP1 => {
            connection.kind = kind::HTTP1;
            connection.requests += reaches_application;
        }
        // A frame HEADERS opens a stream.
        kind::HTTP2 if head[3] == 1 => {
            if connection.kind != kind::HTTP1 {
                connection.kind = kind::HTTP2;
            }
            connection.requests += reaches_application;
        }
        // The middle of a message looks like anything; what was told once stays, but for an upgraded connection.
        found if connection.kind == kind::UNKNOWN => connection.kind = found,
        kind::WEBSOCKET => connection.kind = kind::WEBSOCKET,
        _ => {}
    }
}
