//! Connections that existed before the fault: a packet of an established socket of the target is assigned to the
//! responder's listening socket, which has no such connection, so that the kernel answers it with a reset (RFC 9293
//! section 3.10.7.2) and the client connects again, into the fault.
//!
//! New connections are never steered here: a SYN that TC assigns to another listener while a TIME_WAIT socket with the
//! same four-tuple exists is dropped. Request sockets and TIME_WAIT sockets are left alone.

use aya_ebpf::{
    bindings::{BPF_F_CURRENT_NETNS, bpf_sock_tuple},
    helpers::generated::{
        bpf_map_lookup_elem, bpf_sk_assign, bpf_sk_release, bpf_skb_ancestor_cgroup_id, bpf_skc_lookup_tcp,
    },
    programs::TcContext,
};
use aya_log_ebpf::info;
use httpfault_common::abi::{Config, counter, octets_of, responder};

use crate::{
    count::count,
    maps::{RESETS, RESPONDER},
    packet::{self, Packet},
    scope,
};

/// `TCP_ESTABLISHED` in include/net/tcp_states.h.
const ESTABLISHED: u32 = 1;
/// `BPF_NOEXIST`.
const IF_ABSENT: u64 = 1;

/// Resets the connection of this packet if it is the target's, or counts why not.
#[inline(always)]
pub(crate) fn reset(ctx: &TcContext) {
    let Some(config) = scope::config() else { return };
    let Some(packet) = packet::parse(ctx, config.port) else { return };
    count(match try_reset(ctx, config, &packet) {
        Ok(()) => counter::RESET,
        Err(Some(refusal)) => refusal,
        Err(None) => return,
    });
}

/// `Err(None)`: reset like the others, but counted before.
#[inline(always)]
fn try_reset(ctx: &TcContext, config: &Config, packet: &Packet) -> Result<(), Option<u32>> {
    let skb = ctx.skb.skb;
    let local = packet.flow.local;
    if !scope::is_served(config, &local) {
        return Err(Some(counter::PASSED_ADDRESS));
    }
    scope::lease().map_err(Some)?;

    let mut tuple: bpf_sock_tuple = packet.tuple;
    // SAFETY: the tuple is as long as its family says; every socket found is released exactly once.
    let assigned = unsafe {
        let socket =
            bpf_skc_lookup_tcp(skb.cast(), &raw mut tuple, packet.tuple_len, BPF_F_CURRENT_NETNS as u64, 0);
        if socket.is_null() {
            return Err(Some(counter::RESET_NO_SOCKET));
        }
        let established = (*socket).state == ESTABLISHED;
        let assigned = if established { bpf_sk_assign(skb.cast(), socket.cast(), 0) } else { 0 };
        bpf_sk_release(socket.cast());
        if !established {
            return Err(Some(counter::RESET_NO_SOCKET));
        }
        assigned
    };
    if assigned != 0 {
        return Err(Some(counter::RESET_ASSIGN));
    }
    // bpf_sk_ancestor_cgroup_id is closed to TC programs; the packet now carries its socket, so ask the packet.
    // SAFETY: the helper takes this context.
    if unsafe { bpf_skb_ancestor_cgroup_id(skb, config.cgroup_level as i32) } != config.cgroup_id {
        return Err(Some(counter::RESET_OTHER_CGROUP));
    }
    give_to_responder(ctx, packet).map_err(Some)?;
    if RESETS.insert(packet.flow, 1, IF_ABSENT).is_err() {
        return Err(None);
    }
    info!(ctx, "existing connection of {:i}: reset", octets_of(packet.flow.remote));
    Ok(())
}

#[inline(always)]
fn give_to_responder(ctx: &TcContext, packet: &Packet) -> Result<(), u32> {
    let slot: u32 = if scope::is_mapped(&packet.flow.local) { responder::V4 } else { responder::V6 };
    // SAFETY: the map and the key outlive the call; the socket is released exactly once.
    unsafe {
        let map = (&raw const RESPONDER).cast_mut();
        let listener = bpf_map_lookup_elem(map.cast(), (&raw const slot).cast());
        if listener.is_null() {
            return Err(counter::PASSED_NO_RESPONDER);
        }
        let refused = bpf_sk_assign(ctx.skb.skb.cast(), listener, 0);
        bpf_sk_release(listener);
        if refused == 0 { Ok(()) } else { Err(counter::RESET_ASSIGN) }
    }
}
