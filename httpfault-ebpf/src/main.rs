//! The kernel side of httpfault: which connections go to the responder.
//!
//! One job per hook: `steer` takes new connections from outside, `local` takes clients inside the task. `scope` answers
//! "is it ours, and may we?" for both. Connections that existed before the fault are the other object's, `existing`.
//!
//! Every program fails open: whatever is in doubt goes on to the application, and is counted.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "kernel contexts and map values are raw pointers")]

mod steer;
mod local;
mod scope;
mod maps;
mod count;
mod object;

use aya_ebpf::{
    macros::{cgroup_sock_addr, sk_lookup},
    programs::{SkLookupContext, SockAddrContext},
};

/// `SK_PASS`: the lookup goes on, with the socket that was assigned or with the kernel's own choice.
const SK_PASS: u32 = 1;
/// The system call goes on.
const PROCEED: i32 = 1;

/// New connections from outside the target's network namespace.
#[sk_lookup]
fn httpfault_steer(ctx: SkLookupContext) -> u32 {
    steer::steer(&ctx);
    SK_PASS
}

/// Clients inside the task, IPv4 sockets.
#[cgroup_sock_addr(connect4)]
fn httpfault_conn4(ctx: SockAddrContext) -> i32 {
    local::connect(&ctx, local::Socket::V4);
    PROCEED
}

/// Clients inside the task, IPv6 sockets (which also carry IPv4-mapped addresses).
#[cgroup_sock_addr(connect6)]
fn httpfault_conn6(ctx: SockAddrContext) -> i32 {
    local::connect(&ctx, local::Socket::V6);
    PROCEED
}

/// What those clients are told about their peer.
#[cgroup_sock_addr(getpeername4)]
fn httpfault_peer4(ctx: SockAddrContext) -> i32 {
    local::getpeername(&ctx, local::Socket::V4);
    PROCEED
}

/// What those clients are told about their peer.
#[cgroup_sock_addr(getpeername6)]
fn httpfault_peer6(ctx: SockAddrContext) -> i32 {
    local::getpeername(&ctx, local::Socket::V6);
    PROCEED
}
