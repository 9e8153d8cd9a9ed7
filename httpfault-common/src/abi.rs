//! Kernel <-> agent: map names, map values and counter indices.
//!
//! Plain integers with explicit padding: the kernel sees bytes, so no enum, no `bool`, no `Option`.
//! New connections are here, [`existing`] ones in a file and an object of their own.
//! Addresses are four words as they lie in memory, in network order; an IPv4 address is its IPv4-mapped form
//! (RFC 4291 section 2.5.5.2).
//! Ports are in host order. Times are nanoseconds of `CLOCK_BOOTTIME`, which is what `bpf_ktime_get_boot_ns` reads.

pub mod existing;

/// Names of the programs in the object.
pub mod program {
    pub const STEER: &str = "httpfault_steer";
    pub const CONNECT4: &str = "httpfault_conn4";
    pub const CONNECT6: &str = "httpfault_conn6";
    pub const GETPEERNAME4: &str = "httpfault_peer4";
    pub const GETPEERNAME6: &str = "httpfault_peer6";
}

/// Names of the maps in the object.
pub mod map {
    /// `Array<Config>`, one entry: the scope of the fault. Written once, before the first hook is attached.
    pub const CONFIG: &str = "CONFIG";
    /// `Array<Lease>`, one entry, mapped into the agent's memory: renewed by its heartbeat.
    pub const LEASE: &str = "LEASE";
    /// `HashMap<Address, u32>`: the namespace's own addresses, with [`super::address`] flags.
    pub const ADDRESSES: &str = "ADDRESSES";
    /// `SockMap`: the responder's listening sockets, indexed by [`super::responder`].
    pub const RESPONDER: &str = "RESPONDER";
    /// `PerCpuArray<u64>`, indexed by [`super::counter`].
    pub const COUNTERS: &str = "COUNTERS";
    /// `LruHashMap<u64, Peer>`: socket cookie of an in-task client -> where it wanted to go.
    pub const REDIRECTED: &str = "REDIRECTED";
    /// `Array<u64>`, mapped into the responder's memory: socket cookies of in-task clients that were sent to it, each at
    /// the place that [`super::sent_place`] names.
    pub const SENT: &str = "SENT";
    /// `Array<Peer>`, one entry: the agent's own probe connection, the only loopback peer that is steered.
    pub const PROBE: &str = "PROBE";
}

/// An IPv6 address, or an IPv4 address in its IPv4-mapped form, in network order.
pub type Address = [u32; 4];

/// The address of 16 bytes in network order.
pub const fn address_of(octets: [u8; 16]) -> Address {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = octets;
    [
        u32::from_ne_bytes([a, b, c, d]),
        u32::from_ne_bytes([e, f, g, h]),
        u32::from_ne_bytes([i, j, k, l]),
        u32::from_ne_bytes([m, n, o, p]),
    ]
}

/// The 16 bytes of an address.
pub const fn octets_of(address: Address) -> [u8; 16] {
    let [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]] = [
        address[0].to_ne_bytes(),
        address[1].to_ne_bytes(),
        address[2].to_ne_bytes(),
        address[3].to_ne_bytes(),
    ];
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

/// Capacity of [`map::ADDRESSES`]. More addresses than this in one namespace is a preflight error.
pub const MAX_ADDRESSES: u32 = 1024;
/// Capacity of [`map::REDIRECTED`]; the oldest entry goes first, and with it only what its client is told of its peer. The
/// kernel makes room for all of them at once, 100 bytes each, for each target.
pub const MAX_FLOWS: u32 = 4096;

/// Entries of [`map::SENT`], a power of two.
pub const SENT_PLACES: u32 = 16_384;

/// Where a cookie is in [`map::SENT`]. Cookies are counted up, so one is overwritten only after about as many others as
/// there are places, while its connection waits to be accepted; no accept queue is that long.
pub const fn sent_place(cookie: u64) -> u32 {
    cookie as u32 & (SENT_PLACES - 1)
}

/// Flags of a value in [`map::ADDRESSES`].
pub mod address {
    /// The address belongs to the namespace: a remote peer that has it is inside.
    pub const OWN: u32 = 1;
    /// Connections to it are in the fault's scope: the target listens there and the interface was chosen.
    pub const SERVED: u32 = 2;
}

/// Flags of [`Config::flags`].
pub mod flag {
    /// All of 127.0.0.0/8 is in scope for in-task clients (the target listens on the IPv4 wildcard).
    pub const LOOPBACK4: u32 = 1;
    /// ::1 is in scope for in-task clients.
    pub const LOOPBACK6: u32 = 2;
}

/// Indices of [`map::RESPONDER`].
pub mod responder {
    pub const V4: u32 = 0;
    pub const V6: u32 = 1;
    pub const COUNT: u32 = 2;
}

/// The scope of the fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Config {
    /// `SO_NETNS_COOKIE` of the target's namespace; 0 where the kernel cannot tell it (before 5.14).
    pub netns_cookie: u64,
    /// TARGET_SERVICE_PORT.
    pub port: u32,
    /// Where the responder listens on loopback.
    pub proxy_port: u32,
    /// [`flag`] bits.
    pub flags: u32,
    pub pad: u32,
}

/// Until when steering is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Lease {
    /// The heartbeat: the agent moves it forward several times a second.
    pub alive_until_ns: u64,
    /// Absolute end: start + duration.
    pub deadline_ns: u64,
}

/// A transport address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Peer {
    pub address: Address,
    pub port: u32,
    pub pad: u32,
}

/// Indices of [`map::COUNTERS`]: one for every outcome and for every reason to refuse.
pub mod counter {
    /// Inbound connection given to the responder.
    pub const STEERED: u32 = 0;
    /// The agent's own probe given to the responder.
    pub const PROBED: u32 = 1;
    /// Passed on: the peer is inside the namespace.
    pub const PASSED_INSIDE: u32 = 2;
    /// Passed on: the destination address is not in scope.
    pub const PASSED_ADDRESS: u32 = 3;
    /// Passed on: the deadline is over.
    pub const PASSED_DEADLINE: u32 = 4;
    /// Passed on: the agent's heartbeat stopped.
    pub const PASSED_HEARTBEAT: u32 = 5;
    /// Passed on: no responder socket for this address family.
    pub const PASSED_NO_RESPONDER: u32 = 6;
    /// Passed on: the kernel refused the assignment.
    pub const PASSED_ASSIGN: u32 = 7;
    /// In-task client sent to the responder.
    pub const REDIRECTED: u32 = 8;
    /// In-task client passed on: it is in another network namespace.
    pub const LOCAL_OTHER_NETNS: u32 = 9;
    /// In-task client passed on: destination not local or not in scope.
    pub const LOCAL_ADDRESS: u32 = 10;
    /// In-task client passed on: its destination could not be remembered for getpeername.
    pub const LOCAL_NOT_STORED: u32 = 11;
    /// getpeername answered with the original destination.
    pub const PEERNAME: u32 = 12;
    /// Connection attempt, not steered, to another port of the target: feeds "wrong port?" in the report.
    pub const OTHER_PORT: u32 = 13;
    pub const COUNT: u32 = 14;
}

const _: () = {
    assert!(size_of::<Config>() == 24);
    assert!(size_of::<Lease>() == 16);
    assert!(size_of::<Peer>() == 24);
};

#[cfg(feature = "aya")]
mod pod {
    #![expect(
        unsafe_code,
        reason = "Pod is how aya is told that a type may travel through a BPF map as bytes"
    )]
    // SAFETY: repr(C), only integers and byte arrays, no padding (asserted above): every bit pattern is valid.
    unsafe impl aya::Pod for super::Config {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Lease {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Peer {}
}
