//! The kernel side of existing connections: those that clients held when the fault started.
//!
//! `gate` sees what a client sends before TCP accepts it: it learns what the connection speaks, and refuses payload for
//! the moments in which that must not be accepted; TCP sends it again. `take` eats the requests of taken connections
//! and hands them to the keeper. Both fail open: without the keeper's lease everything passes. `received` is asked by the
//! keeper how far TCP has received.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(unsafe_code, reason = "kernel contexts and map values are raw pointers")]

mod gate;
mod take;
mod received;
mod admit;
mod kind;
mod maps;
#[path = "../object.rs"]
mod object;

use aya_ebpf::{
    bindings::TC_ACT_OK,
    macros::{classifier, socket_filter, stream_verdict},
    programs::{SkBuffContext, TcContext},
};

/// Segments of one existing connection, before TCP accepts them. Returns how many bytes of it to keep.
#[socket_filter]
fn httpfault_gate(ctx: SkBuffContext) -> i64 {
    if gate::lets_in::<false>(&ctx) { i64::from(ctx.len()) } else { 0 }
}

/// The same where connections may be taken.
#[socket_filter]
fn httpfault_count(ctx: SkBuffContext) -> i64 {
    if gate::lets_in::<true>(&ctx) { i64::from(ctx.len()) } else { 0 }
}

/// What TCP has accepted on a taken connection.
#[stream_verdict]
fn httpfault_take(ctx: SkBuffContext) -> u32 {
    take::take(&ctx)
}

/// Attached nowhere; the keeper runs it.
#[classifier]
fn httpfault_rcvd(ctx: TcContext) -> i32 {
    received::answer(&ctx);
    TC_ACT_OK as i32
}
