//! HTTP/2 by hand (RFC 9113, RFC 7541): frames that no library would send.

/// What a client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub mod kind {
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of HEADERS.
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// The header block of `GET /`.
pub const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'a'];
/// The newest entry of the dynamic table, as a whole header.
pub const NEWEST: u8 = 0x80 | 62;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// SETTINGS with one parameter.
pub fn setting(parameter: u16, value: u32) -> Vec<u8> {
    frame(kind::SETTINGS, 0, 0, &[&parameter.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// A whole request without body.
pub fn request(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, END_STREAM | END_HEADERS, stream, block)
}

/// A header that goes into the dynamic table: `x`, with a value of so many bytes (127 to 16,510).
pub fn large_header(bytes: usize) -> Vec<u8> {
    let rest = bytes - 127;
    let low = u8::try_from(rest & 0x7f).unwrap_or(0) | 0x80;
    let high = u8::try_from(rest >> 7).unwrap_or(0x7f);
    [&[0x40, 1, b'x', 0x7f, low, high][..], &vec![b'y'; bytes]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_its_length_type_flags_stream_and_payload() {
        assert_eq!(frame(kind::PING, 1, 3, &[7, 7]), [0, 0, 2, 6, 1, 0, 0, 0, 3, 7, 7]);
        assert_eq!(setting(4, 0), [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    }

    #[test]
    fn a_large_header_has_its_length_in_three_bytes() {
        assert_eq!(large_header(1337 + 127)[3..6], [0x7f, 0x80 | 57, 10]);
    }
}
