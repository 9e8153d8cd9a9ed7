//! The verdict on what TCP has accepted on a taken connection: it goes to the keeper, the application sees nothing.

use aya_ebpf::{
    bindings::sk_action::{SK_DROP, SK_PASS},
    helpers::generated::bpf_skb_load_bytes,
    programs::SkBuffContext,
};
use httpfault_common::abi::existing::{HOLE_KEY, Note, PIECE, SHORT_PIECE, Watched, note};

use crate::maps::{HOLE, NOTES, eats, tell, watched};

/// Pieces of the longest buffer: 256 KB, more than the kernel makes.
const MOST_PIECES: u32 = 64;

/// A note with room for the bytes that follow.
#[repr(C)]
struct Carrier<const N: usize> {
    note: Note,
    bytes: [u8; N],
}

#[inline(always)]
pub(crate) fn take(ctx: &SkBuffContext) -> u32 {
    let Some((cookie, connection)) = watched(ctx) else { return SK_PASS };
    // SAFETY: the map returned a valid pointer, and the socket is locked while this runs.
    let connection = unsafe { &mut *connection };
    let length = ctx.len();
    if length == 0 {
        // A bare FIN; TCP has taken note of it already, and the application is told by it.
        tell(cookie, note::END);
        return SK_DROP;
    }
    if !eats() {
        // Nobody reads the notes. What is passed reaches the application through the socket map's own queue.
        connection.passed += u64::from(length);
        return SK_PASS;
    }
    connection.eaten += u64::from(length);
    hand_over(ctx, cookie, connection, length);
    HOLE.redirect_skb(ctx, HOLE_KEY, 0) as u32
}

/// Copies the bytes into notes, in order.
#[inline(always)]
fn hand_over(ctx: &SkBuffContext, cookie: u64, connection: &mut Watched, length: u32) {
    if length as usize <= SHORT_PIECE {
        if !piece::<SHORT_PIECE>(ctx, cookie, 0, length) {
            connection.lost += u64::from(length);
        }
        return;
    }
    let mut from = 0;
    for _ in 0..MOST_PIECES {
        if from + PIECE as u32 > length {
            break;
        }
        if !piece::<PIECE>(ctx, cookie, from, PIECE as u32) {
            connection.lost += PIECE as u64;
        }
        from += PIECE as u32;
    }
    let rest = length - from;
    if rest as usize > PIECE {
        connection.lost += u64::from(rest);
    } else if rest > 0 && !piece::<PIECE>(ctx, cookie, from, rest) {
        connection.lost += u64::from(rest);
    }
}

/// One note with `length` bytes, 1 to `N`.
#[inline(always)]
fn piece<const N: usize>(ctx: &SkBuffContext, cookie: u64, from: u32, length: u32) -> bool {
    let Some(mut entry) = NOTES.reserve::<Carrier<N>>(0) else { return false };
    // As the verifier of every kernel follows it: 1 to N, N being a power of two.
    let bounded = ((length - 1) & (N as u32 - 1)) + 1;
    // SAFETY: the entry has room for the note and N bytes; every field that is read by the keeper is written here.
    let copied = unsafe {
        let carrier = entry.as_mut_ptr();
        (&raw mut (*carrier).note).write(Note { cookie, what: note::DATA, length: bounded });
        let bytes = (&raw mut (*carrier).bytes).cast();
        bpf_skb_load_bytes(ctx.skb.skb.cast(), from, bytes, bounded)
    };
    if copied == 0 {
        entry.submit(0);
        true
    } else {
        entry.discard(0);
        false
    }
}
