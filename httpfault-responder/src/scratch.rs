//! Room in which a thread reads requests and collects answers while it looks at one connection, so that an idle
//! connection has no buffers of its own.

use std::cell::RefCell;

/// Room for one read, bytes.
const READ: usize = 16 * 1024;
/// Answers that are larger than this don't keep their room, bytes.
const KEPT_OUT: usize = 128 * 1024;

thread_local! {
    static SCRATCH: RefCell<(Vec<u8>, Vec<u8>)> = RefCell::new((vec![0; READ], Vec::new()));
}

/// Runs `look` with room to read into, whose contents mean nothing, and an empty collection of answers.
pub(crate) fn with_scratch<T>(look: impl FnOnce(&mut [u8], &mut Vec<u8>) -> T) -> T {
    SCRATCH.with_borrow_mut(|(read, out)| {
        out.clear();
        out.shrink_to(KEPT_OUT);
        look(read, out)
    })
}
