//! What the kernel programs of existing connections share with the keeper: the gate, a socket filter on each of the
//! application's own sockets, and the verdict, which takes requests off those that are in [`map::TAKEN`].

/// Names of the programs in the object.
pub mod program {
    pub const GATE: &str = "httpfault_gate";
    pub const VERDICT: &str = "httpfault_take";
}

/// Names of the maps in the object. Keys are socket cookies (`SO_COOKIE`).
pub mod map {
    /// `HashMap<u64, Watched>`: what is known of a connection, and what may happen to what its client sends.
    pub const WATCHED: &str = "WATCHED";
    /// `HashMap<u64, u64>`: until when the payload of a connection is refused, nanoseconds of `CLOCK_BOOTTIME`, with
    /// [`super::ONLY_REQUESTS`]. Only the keeper writes it, so that nothing the programs note is overwritten.
    pub const CORKS: &str = "CORKS";
    /// `SockHash<u64>`: the connections that are taken; the verdict is attached to this map.
    pub const TAKEN: &str = "TAKEN";
    /// `SockHash<u64>`, one entry: a socket that takes nothing any more, see [`super::HOLE_KEY`].
    pub const HOLE: &str = "HOLE";
    /// `RingBuf` of [`super::Note`], each followed by at most [`super::PIECE`] bytes.
    pub const NOTES: &str = "NOTES";
    /// `Array<Leases>`, one entry.
    pub const LEASES: &str = "LEASES";
}

/// Set in a value of [`map::CORKS`]: only payload that begins a request is refused.
pub const ONLY_REQUESTS: u64 = 1;

/// Most connections that are watched at once.
pub const MAX_WATCHED: u32 = 65_536;
/// Size of [`map::NOTES`], bytes.
pub const NOTES_BYTES: u32 = 4 << 20;
/// Bytes of a request that one note carries at most. A note for a short one is smaller.
pub const PIECE: usize = 4096;
pub const SHORT_PIECE: usize = 512;
/// The key of the only socket in [`map::HOLE`]. Bytes that are redirected to it are gone, and nobody is woken for them:
/// `SK_DROP` would wake the application's reader, whose blocking recv() then returns EAGAIN.
pub const HOLE_KEY: u64 = 0;

/// [`Watched::state`].
pub mod state {
    /// Everything passes; what passes is noted.
    pub const WATCHED: u32 = 0;
    /// The next payload is refused and told, so that the connection can be reset before the application sees it.
    pub const TO_RESET: u32 = 1;
    /// Taken, nothing seen: the first payload decides. Refused unless it begins a request.
    pub const ARMED: u32 = 2;
    /// Taken: a request was seen, everything goes to the keeper.
    pub const CAPTURED: u32 = 3;
    /// Taken, but the first payload was no request: refused (the client sends it again) until it was given back.
    pub const FOREIGN: u32 = 4;
    /// Payload that begins a request is refused (the client sends it again), so that the connection comes to rest.
    pub const HELD: u32 = 5;
}

/// [`Watched::kind`], from the first bytes of the latest payload that could be told.
pub mod kind {
    pub const UNKNOWN: u32 = 0;
    /// A method and a space.
    pub const HTTP1: u32 = 1;
    /// A frame header (RFC 9113 section 4.1) or the preface.
    pub const HTTP2: u32 = 2;
    /// A record header (RFC 8446 section 5.1).
    pub const TLS: u32 = 3;
    /// A masked frame (RFC 6455 section 5.2).
    pub const WEBSOCKET: u32 = 4;
    /// None of these, where a message should begin.
    pub const OTHER: u32 = 5;
}

/// One existing connection. The programs write it; the keeper replaces it as a whole, and only while it is corked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Watched {
    /// When payload last came in.
    pub payload_ns: u64,
    /// Segments with payload that came in and were not refused.
    pub payloads: u64,
    /// Those of them that begin a request and that the application got.
    pub requests: u64,
    /// Segments with payload that were refused.
    pub refused: u64,
    /// Bytes that went to the keeper instead of the application.
    pub captured: u64,
    /// Bytes that went to nobody, because [`map::NOTES`] was full: the connection can only be reset.
    pub lost: u64,
    /// Bytes that the verdict gave to the application, because the keeper had stopped.
    pub passed: u64,
    /// [`state`]
    pub state: u32,
    /// [`kind`]
    pub kind: u32,
    /// Acknowledgement number of the last payload: how much of the answers its sender had when it sent.
    pub payload_ack: u32,
    /// Acknowledgement number of the last segment.
    pub ack: u32,
}

/// Until when something may be done to what clients send, nanoseconds of `CLOCK_BOOTTIME`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Leases {
    /// The keeper lives: without it nothing is refused and nothing is eaten.
    pub keeper_until_ns: u64,
    /// The agent lives and answers: without it nothing is eaten.
    pub agent_until_ns: u64,
}

/// [`Note::what`].
pub mod note {
    /// `length` bytes of a request follow.
    pub const DATA: u32 = 1;
    /// The client closed its side.
    pub const END: u32 = 2;
    /// A payload was refused: no request on an armed connection, or anything on one that is to be reset.
    pub const REFUSED: u32 = 3;
}

/// The head of one entry of [`map::NOTES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Note {
    pub cookie: u64,
    /// [`note`]
    pub what: u32,
    /// Bytes that follow.
    pub length: u32,
}

const _: () = {
    assert!(size_of::<Watched>() == 72);
    assert!(size_of::<Leases>() == 16);
    assert!(size_of::<Note>() == 16);
};

#[cfg(feature = "aya")]
mod pod {
    #![expect(
        unsafe_code,
        reason = "Pod is how aya is told that a type may travel through a BPF map as bytes"
    )]
    // SAFETY: repr(C), only integers, no padding (asserted above): every bit pattern is valid.
    unsafe impl aya::Pod for super::Watched {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Leases {}
}
