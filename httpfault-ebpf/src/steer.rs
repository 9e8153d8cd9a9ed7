//! New connections from outside: sk_lookup gives them to the responder's listening socket.
//!
//! The kernel runs this in its own listener lookup, that is also for a SYN that meets a TIME_WAIT socket and for SYN
//! cookies, so no packet is rewritten and the accepted socket's local address is the original destination.

use aya_ebpf::{bindings::bpf_sk_lookup, programs::SkLookupContext};
use aya_log_ebpf::info;
use httpfault_common::abi::{Address, counter, octets_of, responder};

use crate::{
    count::count,
    maps::{PROBE, RESPONDER},
    scope,
};

const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const IPPROTO_TCP: u32 = 6;

/// Steers the connection, or counts why not.
#[inline(always)]
pub(crate) fn steer(ctx: &SkLookupContext) {
    if let Some(outcome) = decide(ctx) {
        count(outcome);
    }
}

#[inline(always)]
fn decide(ctx: &SkLookupContext) -> Option<u32> {
    let config = scope::config()?;
    // SAFETY: the kernel hands a valid context, and each field is read with the width it has there.
    let (protocol, port) = unsafe { ((*ctx.lookup).protocol, (*ctx.lookup).local_port) };
    if protocol != IPPROTO_TCP {
        return None;
    }
    if port != config.port {
        // In-task clients arrive at the responder's own port.
        return (port != config.proxy_port).then_some(counter::OTHER_PORT);
    }
    let (local, remote, socket) = addresses(ctx.lookup)?;
    if !scope::is_served(config, &local) {
        return Some(counter::PASSED_ADDRESS);
    }
    let probe = is_probe(ctx.lookup, &remote);
    if scope::is_own(&remote) && !probe {
        return Some(counter::PASSED_INSIDE);
    }
    if let Err(refusal) = scope::lease() {
        return Some(refusal);
    }
    match RESPONDER.redirect_sk_lookup(ctx, socket, 0) {
        Ok(()) if probe => Some(counter::PROBED),
        Ok(()) => {
            info!(
                ctx,
                "inbound {:i} -> {:i} port {}: to the responder",
                octets_of(remote),
                octets_of(local),
                port
            );
            Some(counter::STEERED)
        }
        Err(error) if error == NO_ENTRY => Some(counter::PASSED_NO_RESPONDER),
        Err(_refused) => Some(counter::PASSED_ASSIGN),
    }
}

/// What `redirect_sk_lookup` returns for an empty slot.
const NO_ENTRY: i32 = -2;

/// Local and remote address, and the responder socket of their family.
///
/// Every field is read, whatever the family, and volatile: where the compiler may choose between two loads it chooses
/// between two addresses, and the verifier refuses a context pointer that was computed.
#[inline(always)]
fn addresses(lookup: *mut bpf_sk_lookup) -> Option<(Address, Address, u32)> {
    // SAFETY: as in `decide`.
    let (family, local4, remote4, local6, remote6) = unsafe {
        (
            (&raw const (*lookup).family).read_volatile(),
            (&raw const (*lookup).local_ip4).read_volatile(),
            (&raw const (*lookup).remote_ip4).read_volatile(),
            words(&raw const (*lookup).local_ip6),
            words(&raw const (*lookup).remote_ip6),
        )
    };
    match family {
        AF_INET => Some((scope::mapped(local4), scope::mapped(remote4), responder::V4)),
        AF_INET6 => Some((local6, remote6, responder::V6)),
        _ => None,
    }
}

/// Four words of the context, one by one: it allows no wider load.
///
/// # Safety
///
/// The pointer must be a field of a valid context.
#[inline(always)]
unsafe fn words(field: *const Address) -> Address {
    let word = field.cast::<u32>();
    // SAFETY: the caller's promise.
    unsafe {
        [
            word.read_volatile(),
            word.add(1).read_volatile(),
            word.add(2).read_volatile(),
            word.add(3).read_volatile(),
        ]
    }
}

/// Whether the peer is the agent's own probe connection, whose address and port it wrote down before connecting.
#[inline(always)]
fn is_probe(lookup: *mut bpf_sk_lookup, remote: &Address) -> bool {
    let Some(probe) = PROBE.get(0) else { return false };
    // SAFETY: as in `decide`. The field is 16 bits wide in network order, see struct bpf_sk_lookup.
    let remote_port = u32::from(u16::from_be(unsafe { (*lookup).remote_port } as u16));
    probe.port != 0 && probe.port == remote_port && probe.address == *remote
}
