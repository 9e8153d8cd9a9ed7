//! The allocator: musl's, except for blocks of the size of connection buffers. Those musl maps and unmaps for nearly
//! every connection; dlmalloc keeps them, but never gives back the tens of megabytes that loading the kernel programs
//! takes for a moment in small blocks.
#![expect(unsafe_code, reason = "an allocator's blocks are used as memory")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    ops::RangeInclusive,
};

use dlmalloc::GlobalDlmalloc;

/// Bytes. A connection's task takes the least of these, our largest read buffer 16 KiB; what is larger musl maps alone.
const BUFFERS: RangeInclusive<usize> = 512..=32768;

/// One allocator for each range of sizes.
pub(crate) struct BySize;

fn keeper(layout: Layout) -> &'static dyn GlobalAlloc {
    if BUFFERS.contains(&layout.size()) { &GlobalDlmalloc } else { &System }
}

// SAFETY: a block goes back with the layout it was asked for, so to the allocator that it came from. The provided
// methods for growing and zeroing are made of these two.
unsafe impl GlobalAlloc for BySize {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is that of the callee.
        unsafe { keeper(layout).alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { keeper(layout).dealloc(block, layout) }
    }
}
