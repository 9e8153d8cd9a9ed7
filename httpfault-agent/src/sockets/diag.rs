//! sock_diag(7): the kernel picks the sockets by state and port, so that tens of thousands in TIME_WAIT cost nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context as _, bail};
use neli::{
    FromBytes, FromBytesWithInput, Header, Size, ToBytes, TypeSize,
    consts::{
        nl::{NlmF, Nlmsg},
        socket::NlFamily,
    },
    err::DeError,
    nl::{NlPayload, NlmsghdrBuilder},
    socket::synchronous::NlSocketHandle,
    types::Buffer,
    utils::Groups,
};

use crate::netns::Netns;

/// `TCPDIAG_GETSOCK` (include/uapi/linux/inet_diag.h). Unlike SOCK_DIAG_BY_FAMILY it dumps both families at once
/// (`inet_diag_dump_compat`), and each dump walks the table of the whole machine, hundreds of thousands of buckets.
const GET_SOCKETS: u16 = 18;
/// `INET_DIAG_SKV6ONLY`, one byte (include/uapi/linux/inet_diag.h).
const ONLY_V6: u16 = 11;
/// Bytes before an attribute's value, and to what its length is rounded up (netlink(7)).
const ATTRIBUTE_HEADER: usize = 4;

/// States of a socket, as bits (include/net/tcp_states.h).
#[derive(Clone, Copy)]
pub(super) enum States {
    Established = 1 << 1,
    /// TCP_SYN_RECV and TCP_NEW_SYN_RECV: a client's SYN was answered.
    Handshake = 1 << 3 | 1 << 12,
    Listening = 1 << 10,
}

/// Which port is asked for.
#[derive(Clone, Copy)]
pub(super) enum Port {
    Any,
    Own(u16),
    Peers(u16),
}

/// One socket.
pub(super) struct Found {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) inode: u64,
    pub(super) cookie: u64,
    /// IPV6_V6ONLY, of listening IPv6 sockets.
    pub(super) only_v6: bool,
}

/// `struct inet_diag_req`. What is zero is not looked at, of a dump the family too.
#[derive(Debug, Size, ToBytes)]
struct Request {
    family: u8,
    lengths: u16,
    extensions: u8,
    id: Id,
    states: u32,
    tables: u32,
}

/// `struct inet_diag_sockid`. Ports and addresses are in network order.
#[derive(Debug, Size, ToBytes, FromBytes)]
struct Id {
    source_port: u16,
    destination_port: u16,
    source: u128,
    destination: u128,
    interface: u32,
    cookie_low: u32,
    cookie_high: u32,
}

impl TypeSize for Id {
    fn type_size() -> usize {
        48
    }
}

/// `struct inet_diag_msg`, and the attributes that follow.
#[derive(Debug, Size, FromBytesWithInput, Header)]
struct Answer {
    family: u8,
    state: u8,
    timer: u8,
    retransmissions: u8,
    id: Id,
    expires: u32,
    receive_queue: u32,
    send_queue: u32,
    user: u32,
    inode: u32,
    #[neli(input = "input.checked_sub(Self::header_size()).ok_or(DeError::InvalidInput(input))?")]
    attributes: Buffer,
}

/// Asks about single connections of one namespace.
pub(crate) struct Lookup(NlSocketHandle);

impl Lookup {
    pub(crate) fn new(netns: &Netns) -> anyhow::Result<Self> {
        let connect = || NlSocketHandle::connect(NlFamily::SockOrInetDiag, None, Groups::empty());
        Ok(Self(netns.run(connect).context("entering the network namespace")??))
    }

    /// The cookie of the socket that is connected from `local` to `remote`.
    pub(crate) fn cookie(&self, local: SocketAddr, remote: SocketAddr) -> anyhow::Result<u64> {
        let id = Id {
            source_port: local.port().to_be(),
            destination_port: remote.port().to_be(),
            source: words(local.ip()),
            destination: words(remote.ip()),
            ..Id::any()
        };
        let family = if local.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        send(&self.0, NlmF::empty(), Request::new(u8::try_from(family)?, u32::MAX, id))?;
        let (answers, _groups) = self.0.recv::<u16, Answer>()?;
        for answer in answers {
            if let NlPayload::Payload(answer) = answer?.nl_payload() {
                return Ok(answer.socket().cookie);
            }
        }
        bail!("no socket is connected from {local} to {remote}")
    }
}

/// The TCP sockets of a namespace in these states and with this port.
pub(super) fn dump(netns: &Netns, states: States, port: Port) -> anyhow::Result<Vec<Found>> {
    netns
        .run(|| dump_here(states, port))
        .context("entering the network namespace")?
        .context("listing the sockets of the network namespace (sock_diag)")
}

/// Those of this thread's namespace.
fn dump_here(states: States, port: Port) -> anyhow::Result<Vec<Found>> {
    let (own, peers) = match port {
        Port::Any => (0, 0),
        Port::Own(port) => (port, 0),
        Port::Peers(port) => (0, port),
    };
    let id = Id { source_port: own.to_be(), destination_port: peers.to_be(), ..Id::any() };
    let socket = NlSocketHandle::connect(NlFamily::SockOrInetDiag, None, Groups::empty())?;
    send(&socket, NlmF::DUMP, Request::new(0, states as u32, id))?;
    let mut found = Vec::new();
    loop {
        let (answers, _groups) = socket.recv::<u16, Answer>()?;
        for answer in answers {
            let answer = answer?;
            match answer.nl_payload() {
                NlPayload::Payload(answer) => found.push(answer.socket()),
                NlPayload::Err(refusal) if *refusal.error() == -libc::ENOENT => {
                    bail!("the kernel can't tell; load its module tcp_diag with modprobe")
                }
                NlPayload::Err(refusal) => {
                    let why = std::io::Error::from_raw_os_error(-*refusal.error());
                    return Err(why.into());
                }
                NlPayload::Ack(_) | NlPayload::DumpExtAck(_) | NlPayload::Empty => {}
            }
            if *answer.nl_type() == u16::from(Nlmsg::Done) {
                return Ok(found);
            }
        }
    }
}

fn send(socket: &NlSocketHandle, flags: NlmF, request: Request) -> anyhow::Result<()> {
    let message = NlmsghdrBuilder::default()
        .nl_type(GET_SOCKETS)
        .nl_flags(NlmF::REQUEST | flags)
        .nl_payload(NlPayload::Payload(request))
        .build()?;
    Ok(socket.send(&message)?)
}

/// An address as `struct inet_diag_sockid` has it: an IPv4 address in the first word.
fn words(ip: IpAddr) -> u128 {
    let mut octets = [0; 16];
    match ip {
        IpAddr::V4(v4) => octets[..4].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => octets = v6.octets(),
    }
    u128::from_ne_bytes(octets)
}

impl Request {
    fn new(family: u8, states: u32, id: Id) -> Self {
        Self { family, lengths: 0, extensions: 0, id, states, tables: 0 }
    }
}

impl Id {
    /// Whatever the addresses, whatever the cookie.
    fn any() -> Self {
        Self {
            source_port: 0,
            destination_port: 0,
            source: 0,
            destination: 0,
            interface: 0,
            cookie_low: u32::MAX,
            cookie_high: u32::MAX,
        }
    }
}

impl Answer {
    fn socket(&self) -> Found {
        let id = &self.id;
        Found {
            local: self.address(id.source, id.source_port),
            remote: self.address(id.destination, id.destination_port),
            inode: self.inode.into(),
            cookie: u64::from(id.cookie_high) << 32 | u64::from(id.cookie_low),
            only_v6: self.attribute(ONLY_V6).is_some_and(|value| value.first() == Some(&1)),
        }
    }

    fn address(&self, address: u128, port: u16) -> SocketAddr {
        let octets = address.to_ne_bytes();
        let [a, b, c, d, ..] = octets;
        let ip = match libc::c_int::from(self.family) {
            libc::AF_INET => IpAddr::from(Ipv4Addr::new(a, b, c, d)),
            _ => IpAddr::from(Ipv6Addr::from(octets)),
        };
        SocketAddr::new(ip, u16::from_be(port))
    }

    /// The value of an attribute.
    fn attribute(&self, kind: u16) -> Option<&[u8]> {
        let mut rest = self.attributes.as_ref();
        loop {
            let [a, b, c, d, ..] = *rest else { return None };
            let length = usize::from(u16::from_ne_bytes([a, b]));
            let value = rest.get(ATTRIBUTE_HEADER..length)?;
            if u16::from_ne_bytes([c, d]) == kind {
                return Some(value);
            }
            rest = rest.get(length.next_multiple_of(ATTRIBUTE_HEADER)..)?;
        }
    }
}
