//! The Date header's value, which changes once a second.

use std::{
    cell::Cell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use httpdate::HttpDate;

/// Bytes of every date (RFC 9110 section 5.6.7).
pub(super) const LENGTH: usize = 29;

/// Now, in a place of that length.
pub(super) fn write(place: &mut [u8]) {
    thread_local! {
        static KNOWN: Cell<(u64, [u8; LENGTH])> = const { Cell::new((u64::MAX, [b' '; LENGTH])) };
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (second, mut text) = KNOWN.get();
    if second != now {
        let date = HttpDate::from(UNIX_EPOCH + Duration::from_secs(now)).to_string();
        // Shorter only beyond the year 9999.
        text.iter_mut().zip(date.bytes()).for_each(|(place, byte)| *place = byte);
        KNOWN.set((now, text));
    }
    place.copy_from_slice(&text);
}
