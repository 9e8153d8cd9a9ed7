//! How far TCP has received on a connection, as a sequence number. Nothing else tells user space.

use core::mem::{offset_of, size_of};

use aya_ebpf::{
    bindings::bpf_sock_tuple,
    helpers::generated::{bpf_sk_release, bpf_skc_lookup_tcp, bpf_tcp_sock},
    programs::TcContext,
};
use httpfault_common::abi::existing::{QUESTION_AT, Question};

/// `BPF_F_CURRENT_NETNS`: that of the thread that runs the program.
const CURRENT_NETNS: u64 = u64::MAX;
/// Bytes of `struct bpf_sock_tuple` for either family.
const TUPLE_V4: u32 = 12;
const TUPLE_V6: u32 = 36;

/// Answers the question in the packet.
#[inline(always)]
pub(crate) fn answer(ctx: &TcContext) {
    let Ok(v6) = ctx.load::<u32>(QUESTION_AT + offset_of!(Question, v6)) else { return };
    let Ok(mut tuple) = ctx.load::<[u32; 9]>(QUESTION_AT + offset_of!(Question, tuple)) else { return };
    let tuple = (&raw mut tuple).cast::<bpf_sock_tuple>();
    const { assert!(size_of::<[u32; 9]>() == TUPLE_V6 as usize) };
    // SAFETY: the helpers take this context, a tuple that is as long as they are told, and the socket that they found.
    let found = unsafe {
        let skb = ctx.skb.skb.cast();
        let socket = if v6 == 0 {
            bpf_skc_lookup_tcp(skb, tuple, TUPLE_V4, CURRENT_NETNS, 0)
        } else {
            bpf_skc_lookup_tcp(skb, tuple, TUPLE_V6, CURRENT_NETNS, 0)
        };
        if socket.is_null() {
            return;
        }
        let tcp = bpf_tcp_sock(socket);
        let next = if tcp.is_null() { None } else { Some((*tcp).rcv_nxt) };
        bpf_sk_release(socket.cast());
        next
    };
    if let Some(next) = found {
        // A packet that is too short is answered by its length.
        let _short = ctx.store(QUESTION_AT + offset_of!(Question, answered), &[1, next], 0);
    }
}
