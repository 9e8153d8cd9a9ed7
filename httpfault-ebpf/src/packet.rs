//! The TCP packet in a buffer at TC ingress, read relative to its network header, so that it does not matter whether
//! the interface has a link layer.

use aya_ebpf::{
    bindings::{
        bpf_hdr_start_off::BPF_HDR_START_NET, bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1,
        bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 as Tuple4,
        bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2 as Tuple6,
    },
    helpers::generated::bpf_skb_load_bytes_relative,
    programs::TcContext,
};
use httpfault_common::abi::{Address, Flow};

use crate::scope;

const ETH_P_IP: u32 = 0x0800_u16.to_be() as u32;
const ETH_P_IPV6: u32 = 0x86dd_u16.to_be() as u32;
const TCP: u8 = 6;
/// FIN, SYN, RST: the connection begins or ends by itself (RFC 9293 section 3.1).
const BEGINS_OR_ENDS: u8 = 0b0000_0111;

/// A segment in the middle of a connection to the target's port.
pub(crate) struct Packet {
    pub(crate) flow: Flow,
    pub(crate) tuple: bpf_sock_tuple,
    /// Bytes of `tuple` that count.
    pub(crate) tuple_len: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Ipv4 {
    version_ihl: u8,
    unread: [u8; 5],
    fragment: u16,
    ttl: u8,
    protocol: u8,
    checksum: u16,
    source: u32,
    destination: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Ipv6 {
    unread: [u8; 6],
    next_header: u8,
    hop_limit: u8,
    source: Address,
    destination: Address,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Tcp {
    source: u16,
    destination: u16,
    unread: [u8; 9],
    flags: u8,
}

/// The packet, if it is such a segment. Fragments and IPv6 extension headers are not looked into: they pass.
#[inline(always)]
pub(crate) fn parse(ctx: &TcContext, port: u32) -> Option<Packet> {
    // SAFETY: the kernel hands a valid context.
    match unsafe { (*ctx.skb.skb).protocol } {
        ETH_P_IP => {
            let ip: Ipv4 = load(ctx, 0)?;
            let whole = u16::from_be(ip.fragment) & 0x3fff == 0;
            if ip.protocol != TCP || !whole {
                return None;
            }
            let tcp = segment(ctx, u32::from(ip.version_ihl & 0xf) * 4, port)?;
            let ipv4 =
                Tuple4 { saddr: ip.source, daddr: ip.destination, sport: tcp.source, dport: tcp.destination };
            Some(Packet {
                flow: flow(scope::mapped(ip.source), scope::mapped(ip.destination), &tcp),
                tuple: bpf_sock_tuple { __bindgen_anon_1: bpf_sock_tuple__bindgen_ty_1 { ipv4 } },
                tuple_len: size_of::<Tuple4>() as u32,
            })
        }
        ETH_P_IPV6 => {
            let ip: Ipv6 = load(ctx, 0)?;
            if ip.next_header != TCP {
                return None;
            }
            let tcp = segment(ctx, size_of::<Ipv6>() as u32, port)?;
            let ipv6 =
                Tuple6 { saddr: ip.source, daddr: ip.destination, sport: tcp.source, dport: tcp.destination };
            Some(Packet {
                flow: flow(ip.source, ip.destination, &tcp),
                tuple: bpf_sock_tuple { __bindgen_anon_1: bpf_sock_tuple__bindgen_ty_1 { ipv6 } },
                tuple_len: size_of::<Tuple6>() as u32,
            })
        }
        _ => None,
    }
}

#[inline(always)]
fn segment(ctx: &TcContext, offset: u32, port: u32) -> Option<Tcp> {
    let tcp: Tcp = load(ctx, offset)?;
    let ours = u32::from(u16::from_be(tcp.destination)) == port;
    (ours && tcp.flags & BEGINS_OR_ENDS == 0).then_some(tcp)
}

#[inline(always)]
fn flow(remote: Address, local: Address, tcp: &Tcp) -> Flow {
    Flow {
        remote,
        local,
        remote_port: u32::from(u16::from_be(tcp.source)),
        local_port: u32::from(u16::from_be(tcp.destination)),
    }
}

#[inline(always)]
fn load<T: Copy>(ctx: &TcContext, offset: u32) -> Option<T> {
    let mut header = core::mem::MaybeUninit::<T>::uninit();
    // SAFETY: the helper fills the whole value or fails; every bit pattern of these structs is valid.
    unsafe {
        let failed = bpf_skb_load_bytes_relative(
            ctx.skb.skb.cast(),
            offset,
            header.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            BPF_HDR_START_NET,
        );
        (failed == 0).then(|| header.assume_init())
    }
}
