//! Clients inside the task: connect() to the target's port on a local address goes to the responder on loopback, and
//! getpeername() goes on showing where the client wanted to go.
//!
//! Attached to the cgroups of the task's containers, so a process of another cgroup in the same namespace, the agent
//! among them, reaches the real application.

use aya_ebpf::{
    bindings::bpf_sock_addr,
    helpers::generated::{bpf_get_netns_cookie, bpf_get_socket_cookie},
    programs::SockAddrContext,
};
use aya_log_ebpf::info;
use httpfault_common::abi::{Address, Config, Peer, counter, octets_of, sent_place};

use crate::{
    count::count,
    maps::{REDIRECTED, SENT},
    scope,
};

const IPPROTO_TCP: u32 = 6;
const LOOPBACK4: u32 = 0x7f00_0001_u32.to_be();
const LOOPBACK6: Address = [0, 0, 0, 1_u32.to_be()];

/// The family of the client's socket.
#[derive(Clone, Copy)]
pub(crate) enum Socket {
    V4,
    V6,
}

/// Redirects a connect() to the responder, or counts why not.
#[inline(always)]
pub(crate) fn connect(ctx: &SockAddrContext, socket: Socket) {
    let Some(config) = scope::config() else { return };
    let addr = ctx.sock_addr;
    // SAFETY: the kernel hands a valid context, and each field is read with the width it has there.
    if unsafe { (*addr).protocol != IPPROTO_TCP || (*addr).user_port != net_port(config.port) } {
        return;
    }
    count(match redirect(ctx, config, socket) {
        Ok(()) => counter::REDIRECTED,
        Err(refusal) => refusal,
    });
}

/// Answers getpeername() of a redirected client with its original destination.
#[inline(always)]
pub(crate) fn getpeername(ctx: &SockAddrContext, socket: Socket) {
    let addr = ctx.sock_addr;
    // SAFETY: the helper takes this context; the map holds plain integers.
    let Some(wanted) = (unsafe { REDIRECTED.get(bpf_get_socket_cookie(addr.cast())) }) else { return };
    write(addr, socket, wanted.address, wanted.port);
    count(counter::PEERNAME);
}

#[inline(always)]
fn redirect(ctx: &SockAddrContext, config: &Config, socket: Socket) -> Result<(), u32> {
    let addr = ctx.sock_addr;
    let wanted = destination(addr, socket);
    if !scope::is_own(&wanted) || !scope::is_served(config, &wanted) {
        return Err(counter::LOCAL_ADDRESS);
    }
    // SAFETY: the helper takes this context.
    if config.netns_cookie != 0 && unsafe { bpf_get_netns_cookie(addr.cast()) } != config.netns_cookie {
        return Err(counter::LOCAL_OTHER_NETNS);
    }
    scope::lease()?;
    // SAFETY: the helper takes this context.
    let client = unsafe { bpf_get_socket_cookie(addr.cast()) };
    let peer = Peer { address: wanted, port: config.port, pad: 0 };
    REDIRECTED.insert(client, peer, 0).map_err(|_full| counter::LOCAL_NOT_STORED)?;
    let place = SENT.get_ptr_mut(sent_place(client)).ok_or(counter::LOCAL_NOT_STORED)?;
    // SAFETY: an aligned word of the map. The responder reads it when the connection has arrived, which is later.
    unsafe { place.write(client) };
    let responder = if scope::is_mapped(&wanted) { scope::mapped(LOOPBACK4) } else { LOOPBACK6 };
    write(addr, socket, responder, config.proxy_port);
    info!(ctx, "in-task client to {:i} port {}: to the responder", octets_of(wanted), config.port);
    Ok(())
}

/// Where the client wants to go. connect() to the unspecified address means loopback (ip(7), RFC 4291 section 2.5.2).
#[inline(always)]
fn destination(addr: *mut bpf_sock_addr, socket: Socket) -> Address {
    // SAFETY: as in `connect`.
    let given = unsafe {
        match socket {
            Socket::V4 => scope::mapped((*addr).user_ip4),
            Socket::V6 => {
                [(*addr).user_ip6[0], (*addr).user_ip6[1], (*addr).user_ip6[2], (*addr).user_ip6[3]]
            }
        }
    };
    match given {
        [0, 0, 0, 0] => LOOPBACK6,
        [0, 0, _, 0] if scope::is_mapped(&given) => scope::mapped(LOOPBACK4),
        _ => given,
    }
}

#[inline(always)]
fn write(addr: *mut bpf_sock_addr, socket: Socket, address: Address, port: u32) {
    // SAFETY: the fields that connect and getpeername programs may write, word by word.
    unsafe {
        match socket {
            Socket::V4 => (*addr).user_ip4 = address[3],
            Socket::V6 => {
                (*addr).user_ip6[0] = address[0];
                (*addr).user_ip6[1] = address[1];
                (*addr).user_ip6[2] = address[2];
                (*addr).user_ip6[3] = address[3];
            }
        }
        (*addr).user_port = net_port(port);
    }
}

/// `user_port` is 16 bits in network order, in a 32-bit field.
#[inline(always)]
fn net_port(port: u32) -> u32 {
    u32::from((port as u16).to_be())
}
