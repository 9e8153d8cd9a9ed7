//! clsact qdiscs and their filters, in the network namespace of the calling thread (kernels before 6.6).

use anyhow::{Context as _, Result};
use neli::{
    consts::{
        nl::NlmF,
        rtnl::{RtAddrFamily, Rtm, Tca},
        socket::NlFamily,
    },
    nl::NlPayload,
    router::synchronous::NlRouter,
    rtnl::{Tcmsg, TcmsgBuilder},
    utils::Groups,
};
use nix::net::if_::if_nametoindex;

const CLSACT: &str = "clsact";
/// TC_H_CLSACT, and its two sides, TC_H_MIN_INGRESS and TC_H_MIN_EGRESS (include/uapi/linux/pkt_sched.h).
const CLSACT_HANDLE: u32 = 0xFFFF_FFF1;
const INGRESS: u32 = 0xFFFF_FFF2;
const EGRESS: u32 = 0xFFFF_FFF3;
/// Filters are tried in the order of their priority; ours go before everyone else's that begin later.
const FIRST_PRIORITY: u16 = 1;

/// Whether the interface exists.
pub(crate) fn has_interface(interface: &str) -> Result<bool> {
    match if_nametoindex(interface) {
        Ok(_) => Ok(true),
        Err(nix::Error::ENODEV) => Ok(false),
        Err(why) => Err(why).with_context(|| format!("looking up interface {interface}")),
    }
}

/// Whether the interface has a clsact qdisc.
pub(crate) fn has_clsact(interface: &str) -> Result<bool> {
    let index = index(interface)?;
    let qdiscs = ask(Rtm::Getqdisc, NlmF::DUMP, 0, 0)?;
    let is_clsact = |qdisc: &Tcmsg| {
        let kind = qdisc.rtattrs().get_attr_handle().get_attr_payload_as_with_len::<String>(Tca::Kind);
        *qdisc.tcm_ifindex() == index && kind.is_ok_and(|kind| kind == CLSACT)
    };
    Ok(qdiscs.iter().any(is_clsact))
}

/// Whether an ingress filter has this priority.
pub(crate) fn has_filter(interface: &str, priority: u16) -> Result<bool> {
    Ok(priorities(interface, INGRESS)?.contains(&priority))
}

/// A priority that no ingress filter has.
pub(crate) fn free_priority(interface: &str) -> Result<u16> {
    let taken = priorities(interface, INGRESS)?;
    (FIRST_PRIORITY..=u16::MAX)
        .find(|priority| !taken.contains(priority))
        .with_context(|| format!("interface {interface} has no free filter priority"))
}

/// Whether no filter is left on the interface's clsact qdisc.
pub(crate) fn is_unused(interface: &str) -> Result<bool> {
    Ok(priorities(interface, INGRESS)?.is_empty() && priorities(interface, EGRESS)?.is_empty())
}

/// Removes the interface's clsact qdisc. One that is gone already is no error.
pub(crate) fn remove_clsact(interface: &str) -> Result<()> {
    if !has_clsact(interface)? {
        return Ok(());
    }
    ask(Rtm::Delqdisc, NlmF::ACK, index(interface)?, CLSACT_HANDLE)
        .with_context(|| format!("removing the clsact qdisc of interface {interface}"))?;
    Ok(())
}

/// The priorities of the filters on one side.
fn priorities(interface: &str, side: u32) -> Result<Vec<u16>> {
    if !has_clsact(interface)? {
        return Ok(Vec::new());
    }
    let filters = ask(Rtm::Gettfilter, NlmF::DUMP, index(interface)?, side)?;
    // tcm_info: priority in the upper, protocol in the lower half (TC_H_MAKE in include/uapi/linux/pkt_sched.h).
    Ok(filters.iter().filter_map(|filter| u16::try_from(filter.tcm_info() >> 16).ok()).collect())
}

fn index(interface: &str) -> Result<i32> {
    let index = if_nametoindex(interface).with_context(|| format!("looking up interface {interface}"))?;
    Ok(i32::try_from(index)?)
}

/// One exchange with rtnetlink. The socket is made on this thread, so it is of this thread's namespace.
fn ask(request: Rtm, flags: NlmF, interface: i32, parent: u32) -> Result<Vec<Tcmsg>> {
    let (socket, _unasked) =
        NlRouter::connect(NlFamily::Route, None, Groups::empty()).context("opening rtnetlink")?;
    let message = TcmsgBuilder::default()
        .tcm_family(RtAddrFamily::Unspecified.into())
        .tcm_ifindex(interface)
        .tcm_handle(0)
        .tcm_parent(parent)
        .tcm_info(0)
        .build()?;
    let answers = socket.send::<_, _, Rtm, Tcmsg>(request, flags, NlPayload::Payload(message))?;
    let mut told = Vec::new();
    for answer in answers {
        // The end of a list and an acknowledgement carry nothing.
        if let NlPayload::Payload(answer) = answer?.nl_payload() {
            told.push(answer.clone());
        }
    }
    Ok(told)
}
