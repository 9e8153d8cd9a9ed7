//! Is it ours, and may we?

use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use httpfault_common::abi::{Address, Config, address, counter, flag};

use crate::maps::{ADDRESSES, CONFIG, LEASE};

/// The second and third word of an IPv4-mapped address; the first two words are zero.
const MAPPED: u32 = 0xffff_u32.to_be();

/// The fault's scope, if it was written.
#[inline(always)]
pub(crate) fn config() -> Option<&'static Config> {
    CONFIG.get(0)
}

/// Whether the lease holds: the deadline is not over and the agent's heart beats. The error is the counter to bump.
#[inline(always)]
pub(crate) fn lease() -> Result<(), u32> {
    let Some(lease) = LEASE.get_ptr(0) else { return Err(counter::PASSED_HEARTBEAT) };
    // SAFETY: a helper without arguments; the map returned a valid pointer. The agent writes each word whole.
    let (now, deadline, alive_until) = unsafe {
        (
            bpf_ktime_get_boot_ns(),
            (&raw const (*lease).deadline_ns).read_volatile(),
            (&raw const (*lease).alive_until_ns).read_volatile(),
        )
    };
    if now >= deadline {
        return Err(counter::PASSED_DEADLINE);
    }
    if now >= alive_until {
        return Err(counter::PASSED_HEARTBEAT);
    }
    Ok(())
}

/// The IPv4-mapped form of an IPv4 address given in network order.
#[inline(always)]
pub(crate) const fn mapped(v4: u32) -> Address {
    [0, 0, MAPPED, v4]
}

/// Whether an address carries IPv4.
#[inline(always)]
pub(crate) fn is_mapped(addr: &Address) -> bool {
    addr[0] == 0 && addr[1] == 0 && addr[2] == MAPPED
}

/// Whether an address is 127.0.0.0/8 or ::1.
#[inline(always)]
pub(crate) fn is_loopback(addr: &Address) -> bool {
    if is_mapped(addr) {
        return u32::from_be(addr[3]) >> 24 == 127;
    }
    addr[0] == 0 && addr[1] == 0 && addr[2] == 0 && addr[3] == 1_u32.to_be()
}

/// Whether a peer with this address is inside the namespace.
#[inline(always)]
pub(crate) fn is_own(addr: &Address) -> bool {
    is_loopback(addr) || flags(addr) & address::OWN != 0
}

/// Whether connections to this address are in scope: the target listens there and the interface was chosen.
#[inline(always)]
pub(crate) fn is_served(config: &Config, addr: &Address) -> bool {
    if flags(addr) & address::SERVED != 0 {
        return true;
    }
    let family = if is_mapped(addr) { flag::LOOPBACK4 } else { flag::LOOPBACK6 };
    is_loopback(addr) && config.flags & family != 0
}

#[inline(always)]
fn flags(addr: &Address) -> u32 {
    // SAFETY: the agent writes this map before the hooks are attached; a torn u32 cannot be read.
    unsafe { ADDRESSES.get(addr) }.copied().unwrap_or(0)
}
