//! The gate: a socket filter on one of the application's own sockets. It runs before TCP accepts a segment; one that it
//! refuses was never here, and the client's TCP sends it again.

use aya_ebpf::programs::SkBuffContext;
use httpfault_common::abi::existing::{ONLY_REQUESTS, Order, THERE_IS, Watched, first, kind, note, state};

use crate::{
    admit::{add, admit},
    kind as kinds,
    maps::{alive, now, order, tell, watched},
};

/// Where a TCP header (RFC 9293 section 3.1) has its sequence and acknowledgement numbers, and its own length.
const NUMBERS: usize = 4;
/// Bits of the word after them that are below that length, which counts words of four bytes.
const BELOW_LENGTH: u32 = 28;

/// Whether TCP may see this segment. `COUNTING`: how far payload was let in is noted.
#[inline(always)]
pub(crate) fn lets_in<const COUNTING: bool>(ctx: &SkBuffContext) -> bool {
    let Some((cookie, connection)) = watched(ctx) else { return true };
    let Ok([sequence, ack, lengths]) = ctx.load::<[u32; 3]>(NUMBERS) else { return true };
    let (sequence, ack) = (u32::from_be(sequence), u32::from_be(ack));
    let header = (u32::from_be(lengths) >> BELOW_LENGTH) * 4;
    // SAFETY: the map returned a valid pointer. Segments of one connection mostly come one after the other; where two
    // are here at once a count may miss one, but for those that are counted by `add`.
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
    if COUNTING {
        add(&raw mut connection.begun);
    }
    let order = order(cookie).unwrap_or_default();
    let mut let_in = decide(connection, &order, cookie, sequence, &head);
    if COUNTING {
        let end = sequence.wrapping_add(length - header);
        let_in = let_in && admit(&raw mut connection.admitted, end);
        add(&raw mut connection.decided);
    }
    if let_in {
        note_payload(connection, &order, ack, &head);
    } else {
        connection.refused += 1;
    }
    let_in
}

#[inline(always)]
fn decide(connection: &mut Watched, order: &Order, cookie: u64, sequence: u32, head: &[u8; 8]) -> bool {
    let (keeper, agent) = alive();
    if !keeper {
        return true;
    }
    let corked = now() < order.corked_until_ns;
    if corked && order.corked_until_ns & ONLY_REQUESTS == 0 {
        return false;
    }
    if (corked || order.state == state::HELD) && is_held(connection, sequence, kinds::begins_request(head)) {
        return false;
    }
    match order.state {
        state::TO_RESET => {
            tell(cookie, note::REFUSED);
            false
        }
        // Without the agent nobody would answer: the client sends it again when the connection was given back.
        state::TAKEN if !agent => false,
        state::TAKEN => may_be_eaten(connection, order.round, cookie, head),
        _ => true,
    }
}

/// Whether a payload is refused so that the connection comes to rest: one that begins a request, and what follows it.
#[inline(always)]
fn is_held(connection: &mut Watched, sequence: u32, begins_request: bool) -> bool {
    if begins_request {
        connection.held = THERE_IS | u64::from(sequence);
        return true;
    }
    let from = connection.held as u32;
    // Once it was let in it is held no more.
    let waits = connection.held & THERE_IS != 0
        && (connection.admitted & THERE_IS == 0
            || (connection.admitted as u32).wrapping_sub(from).cast_signed() <= 0);
    waits && sequence.wrapping_sub(from).cast_signed() >= 0
}

/// The gate decides, not the verdict: while the socket is locked a request waits in its backlog, and what follows comes
/// here before the verdict has seen its head.
#[inline(always)]
fn may_be_eaten(connection: &mut Watched, round: u32, cookie: u64, head: &[u8; 8]) -> bool {
    if connection.round == round && connection.first != first::NOTHING {
        return connection.first == first::REQUEST;
    }
    let begins_request = kinds::begins_request(head);
    connection.first = if begins_request { first::REQUEST } else { first::FOREIGN };
    connection.round = round;
    if !begins_request {
        connection.kind = kinds::of(head);
        tell(cookie, note::REFUSED);
    }
    begins_request
}

#[inline(always)]
fn note_payload(connection: &mut Watched, order: &Order, ack: u32, head: &[u8; 8]) {
    connection.payload_ns = now();
    connection.payloads += 1;
    connection.payload_ack = ack;
    let reaches_application = u64::from(order.state == state::WATCHED);
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
