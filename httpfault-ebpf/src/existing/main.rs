//! The kernel side of existing connections: those that clients held when the fault started.
//!
//! `gate` sees what a client sends before TCP accepts it: it learns what the connection speaks, and refuses payload for
//! the moments in which that must not be accepted; TCP sends it again. `take` eats the requests of taken connections
//! and hands them to the keeper. Both fail open: without the keeper's lease everything passes.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "kernel contexts and map values are raw pointers")]

mod gate;
mod take;
mod kind;
mod maps;

use aya_ebpf::{
    macros::{socket_filter, stream_verdict},
    programs::SkBuffContext,
};

/// Segments of one existing connection, before TCP accepts them. Returns how many bytes of it to keep.
#[socket_filter]
fn httpfault_gate(ctx: SkBuffContext) -> i64 {
    if gate::lets_in(&ctx) { i64::from(ctx.len()) } else { 0 }
}

/// What TCP has accepted on a taken connection.
#[stream_verdict]
fn httpfault_take(ctx: SkBuffContext) -> u32 {
    take::take(&ctx)
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier proves that no program reaches this.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
