//! The maps; their names and values are `httpfault_common::abi::existing`.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    helpers::{bpf_get_socket_cookie, generated::bpf_ktime_get_boot_ns},
    macros::map,
    maps::{Array, HashMap, RingBuf, SockHash},
    programs::SkBuffContext,
};
use httpfault_common::abi::existing::{EATS_ON_NS, Leases, MAX_WATCHED, NOTES_BYTES, Note, Order, Watched};

#[map]
pub(crate) static WATCHED: HashMap<u64, Watched> = HashMap::with_max_entries(MAX_WATCHED, BPF_F_NO_PREALLOC);
#[map]
pub(crate) static ORDERS: HashMap<u64, Order> = HashMap::with_max_entries(MAX_WATCHED, BPF_F_NO_PREALLOC);
#[map]
pub(crate) static TAKEN: SockHash<u64> = SockHash::with_max_entries(MAX_WATCHED, 0);
#[map]
pub(crate) static HOLE: SockHash<u64> = SockHash::with_max_entries(1, 0);
#[map]
pub(crate) static NOTES: RingBuf = RingBuf::with_byte_size(NOTES_BYTES, 0);
#[map]
pub(crate) static LEASES: Array<Leases> = Array::with_max_entries(1, 0);

/// The connection that a segment belongs to, and what is known of it.
#[inline(always)]
pub(crate) fn watched(ctx: &SkBuffContext) -> Option<(u64, *mut Watched)> {
    // SAFETY: the helper takes this context.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.skb.skb.cast()) };
    Some((cookie, WATCHED.get_ptr_mut(&cookie)?))
}

/// Whether keeper and agent live.
#[inline(always)]
pub(crate) fn alive() -> (bool, bool) {
    let now = now();
    LEASES.get(0).map_or((false, false), |lease| (now < lease.keeper_until_ns, now < lease.agent_until_ns))
}

/// Whether the keeper takes care of what is eaten, though it may be late.
#[inline(always)]
pub(crate) fn eats() -> bool {
    LEASES.get(0).is_some_and(|lease| now() < lease.keeper_until_ns + EATS_ON_NS)
}

/// What is to happen to a connection.
#[inline(always)]
pub(crate) fn order(cookie: u64) -> Option<Order> {
    // SAFETY: the map returned a valid pointer, and an entry is replaced, not written to.
    unsafe { ORDERS.get(cookie) }.copied()
}

/// `CLOCK_BOOTTIME`.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Tells the keeper. A full ring loses the note; the keeper looks at every connection now and then.
#[inline(always)]
pub(crate) fn tell(cookie: u64, what: u32) {
    if let Some(mut entry) = NOTES.reserve::<Note>(0) {
        entry.write(Note { cookie, what, length: 0 });
        entry.submit(0);
    }
}
