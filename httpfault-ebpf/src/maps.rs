//! The maps; their names and values are `httpfault_common::abi`.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, SockMap},
};
use httpfault_common::abi::{
    Address, Config, Lease, MAX_ADDRESSES, MAX_FLOWS, Peer, SENT_PLACES, counter, responder,
};

#[map]
pub(crate) static CONFIG: Array<Config> = Array::with_max_entries(1, 0);
#[map]
pub(crate) static LEASE: Array<Lease> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
pub(crate) static ADDRESSES: HashMap<Address, u32> =
    HashMap::with_max_entries(MAX_ADDRESSES, BPF_F_NO_PREALLOC);
#[map]
pub(crate) static RESPONDER: SockMap = SockMap::with_max_entries(responder::COUNT, 0);
#[map]
pub(crate) static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(counter::COUNT, 0);
#[map]
pub(crate) static REDIRECTED: LruHashMap<u64, Peer> = LruHashMap::with_max_entries(MAX_FLOWS, 0);
#[map]
pub(crate) static SENT: Array<u64> = Array::with_max_entries(SENT_PLACES, BPF_F_MMAPABLE);
#[map]
pub(crate) static PROBE: Array<Peer> = Array::with_max_entries(1, 0);
