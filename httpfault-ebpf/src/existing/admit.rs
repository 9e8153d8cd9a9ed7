//! How far payload was let in on a connection: exact, though two segments of it may be here at once. For this target the
//! compiler takes the atomic types for those of a machine with one thread, so these are the instructions themselves.

use core::arch::asm;

use httpfault_common::abi::existing::THERE_IS;

/// How often another segment of the same connection may get in between.
const ATTEMPTS: usize = 8;

/// Raises a connection's mark to `end`; false where others always came in between.
#[inline(always)]
pub(crate) fn admit(admitted: *mut u64, end: u32) -> bool {
    for _ in 0..ATTEMPTS {
        // SAFETY: a field of a map's value, aligned.
        let old = unsafe { admitted.read_volatile() };
        // Sent again: what is known to have been let in is waited for anyway.
        if old & THERE_IS != 0 && end.wrapping_sub(old as u32).cast_signed() <= 0 {
            return true;
        }
        if compare_exchange(admitted, old, THERE_IS | u64::from(end)) == old {
            return true;
        }
    }
    false
}

/// Adds one. What is before it happens before what is after it, for every processor.
#[inline(always)]
pub(crate) fn add(counter: *mut u64) {
    // SAFETY: the counter is a field of a map's value, aligned; the verifier proves it.
    unsafe {
        asm!(
            "r2 = atomic_fetch_add((u64 *)(r1 + 0), r2)",
            in("r1") counter,
            inout("r2") 1_u64 => _,
        );
    }
}

/// Ordered as [`add`].
#[inline(always)]
fn compare_exchange(place: *mut u64, expected: u64, new: u64) -> u64 {
    let found;
    // SAFETY: as in `add`.
    unsafe {
        asm!(
            "r0 = cmpxchg_64(r1 + 0, r0, r2)",
            inout("r0") expected => found,
            in("r1") place,
            in("r2") new,
        );
    }
    found
}
