//! What the kernel programs of existing connections share with the keeper: the gate, a socket filter on each of the
//! application's own sockets, and the verdict, which takes requests off those that are in [`map::TAKEN`].

/// Names of the programs in the object.
pub mod program {
    /// The gate where nothing is taken.
    pub const GATE: &str = "httpfault_gate";
    /// The gate that counts what it lets in, where connections may be taken. Linux 5.12 or later.
    pub const COUNTING_GATE: &str = "httpfault_count";
    pub const VERDICT: &str = "httpfault_take";
    /// Tells how far TCP has received on a connection; run by `BPF_PROG_TEST_RUN` on a [`super::Question`].
    pub const RECEIVED: &str = "httpfault_rcvd";
}

/// Names of the maps in the object. Keys are socket cookies (`SO_COOKIE`).
pub mod map {
    /// `HashMap<u64, Watched>`: what was seen of a connection. The keeper makes an entry and never writes it again, so
    /// nothing that the programs note is overwritten.
    pub const WATCHED: &str = "WATCHED";
    /// `HashMap<u64, Order>`: what is to happen to what a connection's client sends. Only the keeper writes it.
    pub const ORDERS: &str = "ORDERS";
    /// `SockHash<u64>`: the connections that are taken; the verdict is attached to this map.
    pub const TAKEN: &str = "TAKEN";
    /// `SockHash<u64>`, one entry: a socket that takes nothing any more, see [`super::HOLE_KEY`].
    pub const HOLE: &str = "HOLE";
    /// `RingBuf` of [`super::Note`], each followed by at most [`super::PIECE`] bytes.
    pub const NOTES: &str = "NOTES";
    /// `Array<Leases>`, one entry.
    pub const LEASES: &str = "LEASES";
}

/// Set in [`Order::corked_until_ns`]: only payload that begins a request is refused, and what follows it.
pub const ONLY_REQUESTS: u64 = 1;

/// How long the verdict goes on eating when the keeper has not renewed its lease: it may be waiting for a processor. What
/// it passes instead could be lost when the connection is given back.
pub const EATS_ON_NS: u64 = 5_000_000_000;

/// Set in a sequence number that a [`Watched`] has: there is one.
pub const THERE_IS: u64 = 1 << 32;

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

/// What is to happen to what a connection's client sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Order {
    /// Until when payload is refused, nanoseconds of `CLOCK_BOOTTIME`, with [`ONLY_REQUESTS`].
    pub corked_until_ns: u64,
    /// [`state`]
    pub state: u32,
    /// How often the connection was taken: what was seen in an earlier round says nothing.
    pub round: u32,
}

/// [`Order::state`].
pub mod state {
    /// Everything passes; what passes is noted.
    pub const WATCHED: u32 = 0;
    /// The next payload is refused and told, so that the connection can be reset before the application sees it.
    pub const TO_RESET: u32 = 1;
    /// Taken: what the gate lets in goes to the keeper. See [`super::first`].
    pub const TAKEN: u32 = 2;
    /// Payload that begins a request is refused (the client sends it again), and what follows it, so that the connection comes to rest.
    pub const HELD: u32 = 3;
}

/// [`Watched::first`].
pub mod first {
    /// Nothing seen: the next payload decides.
    pub const NOTHING: u32 = 0;
    /// It began a request: everything goes to the keeper.
    pub const REQUEST: u32 = 1;
    /// It was no request: it is refused (the client sends it again) until the connection was given back.
    pub const FOREIGN: u32 = 2;
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

/// One existing connection, as the programs saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Watched {
    /// Payload that [`program::COUNTING_GATE`] began to decide about, and has decided about. It begins before it reads the
    /// order. So when the keeper has written an order and then sees that as many were decided about as were begun,
    /// `admitted` has all that was let in on an earlier order.
    pub begun: u64,
    pub decided: u64,
    /// Where the payload ends that was let in furthest, as a sequence number (RFC 9293 section 3.4), and [`THERE_IS`].
    /// Only [`program::COUNTING_GATE`] tells.
    pub admitted: u64,
    /// Where a request begins that was refused so that the connection comes to rest, and [`THERE_IS`]. What follows it is
    /// refused too: TCP would keep it, as a part that came too early.
    pub held: u64,
    /// When payload last came in.
    pub payload_ns: u64,
    /// Segments with payload that came in and were not refused.
    pub payloads: u64,
    /// Those of them that begin a request and that the application got.
    pub requests: u64,
    /// Segments with payload that were refused.
    pub refused: u64,
    /// Bytes that went to the keeper instead of the application.
    pub eaten: u64,
    /// Bytes that went to nobody, because [`map::NOTES`] was full: the connection can only be reset.
    pub lost: u64,
    /// Bytes that the verdict gave to the application, because the keeper had stopped.
    pub passed: u64,
    /// [`kind`]
    pub kind: u32,
    /// Acknowledgement number of the last payload: how much of the answers its sender had when it sent.
    pub payload_ack: u32,
    /// Acknowledgement number of the last segment.
    pub ack: u32,
    /// The round of the connection's [`Order`] that `first` is about.
    pub round: u32,
    /// [`first`]
    pub first: u32,
    pub reserved: u32,
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

/// Which connection is asked about, and the answer. Addresses and ports in network order, as its client's segments have
/// them (`struct bpf_sock_tuple`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Question {
    /// 1 for the addresses of IPv6.
    pub v6: u32,
    /// 1 when there is such a connection.
    pub answered: u32,
    /// The sequence number that is expected next (`RCV.NXT` of RFC 9293 section 3.3.1).
    pub next: u32,
    pub tuple: [u32; 9],
}

/// Where the question begins in the packet that the program is run on: after what stands for an Ethernet header.
pub const QUESTION_AT: usize = 14;

/// [`Note::what`].
pub mod note {
    /// `length` bytes of a request follow.
    pub const DATA: u32 = 1;
    /// The client closed its side.
    pub const END: u32 = 2;
    /// A payload was refused: no request on a taken connection, or anything on one that is to be reset.
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
    assert!(size_of::<Watched>() == 112);
    assert!(size_of::<Order>() == 16);
    assert!(size_of::<Question>() == 48);
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
    unsafe impl aya::Pod for super::Order {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Leases {}
}
