//! The maps; their names and values are `httpfault_common::abi::existing`.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    helpers::{bpf_get_socket_cookie, generated::bpf_ktime_get_boot_ns},
    macros::map,
    maps::{Array, HashMap, RingBuf, SockHash},
    programs::SkBuffContext,
};
use httpfault_common::abi::existing::{Leases, MAX_WATCHED, NOTES_BYTES, Note, ONLY_REQUESTS, Watched};

#[map]
pub(crate) static WATCHED: HashMap<u64, Watched> = HashMap::with_max_entries(MAX_WATCHED, BPF_F_NO_PREALLOC);
#[map]
pub(crate) static CORKS: HashMap<u64, u64> = HashMap::with_max_entries(MAX_WATCHED, BPF_F_NO_PREALLOC);
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

/// Whether a payload of a connection is refused for the moment.
#[inline(always)]
pub(crate) fn is_corked(cookie: u64, begins_request: bool) -> bool {
    // SAFETY: a torn u64 can only be read while the keeper writes, and decides about one segment.
    unsafe { CORKS.get(cookie) }
        .is_some_and(|until| now() < *until && (begins_request || *until & ONLY_REQUESTS == 0))
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
