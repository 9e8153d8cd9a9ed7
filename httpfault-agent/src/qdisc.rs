//! clsact qdiscs and their filters, in the network namespace of the calling thread (kernels before 6.6).

use std::future::Future;

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use nix::net::if_::if_nametoindex;
use rtnetlink::{
    Handle,
    packet_route::tc::{TcAttribute, TcHandle, TcMessage},
};

const CLSACT: &str = "clsact";
/// Filters are tried in the order of their priority; ours go before everyone else's that begin later.
const FIRST_PRIORITY: u16 = 1;

/// Whether the interface exists.
pub(crate) fn has_interface(interface: &str) -> anyhow::Result<bool> {
    match if_nametoindex(interface) {
        Ok(_) => Ok(true),
        Err(nix::Error::ENODEV) => Ok(false),
        Err(why) => Err(why).with_context(|| format!("looking up interface {interface}")),
    }
}

/// Whether the interface has a clsact qdisc.
pub(crate) fn has_clsact(interface: &str) -> anyhow::Result<bool> {
    let index = index(interface)?;
    let qdiscs: Vec<TcMessage> =
        ask(|handle| async move { handle.qdisc().get().execute().try_collect().await })?;
    let is_clsact = |qdisc: &TcMessage| {
        let kind = |attribute: &TcAttribute| matches!(attribute, TcAttribute::Kind(kind) if kind == CLSACT);
        qdisc.header.index == index && qdisc.attributes.iter().any(kind)
    };
    Ok(qdiscs.iter().any(is_clsact))
}

/// Whether an ingress filter has this priority.
pub(crate) fn has_filter(interface: &str, priority: u16) -> anyhow::Result<bool> {
    Ok(priorities(interface, Side::Ingress)?.contains(&priority))
}

/// A priority that no ingress filter has.
pub(crate) fn free_priority(interface: &str) -> anyhow::Result<u16> {
    let taken = priorities(interface, Side::Ingress)?;
    (FIRST_PRIORITY..=u16::MAX)
        .find(|priority| !taken.contains(priority))
        .with_context(|| format!("interface {interface} has no free filter priority"))
}

/// Whether no filter is left on the interface's clsact qdisc.
pub(crate) fn is_unused(interface: &str) -> anyhow::Result<bool> {
    Ok(priorities(interface, Side::Ingress)?.is_empty() && priorities(interface, Side::Egress)?.is_empty())
}

/// Removes the interface's clsact qdisc. One that is gone already is no error.
pub(crate) fn remove_clsact(interface: &str) -> anyhow::Result<()> {
    if !has_clsact(interface)? {
        return Ok(());
    }
    let index = index(interface)?;
    ask(|handle| async move {
        let mut request = handle.qdisc().del(index);
        request.message_mut().header.parent = TcHandle::CLSACT;
        request.execute().await
    })
    .with_context(|| format!("removing the clsact qdisc of interface {interface}"))
}

#[derive(Clone, Copy)]
enum Side {
    Ingress,
    Egress,
}

fn priorities(interface: &str, side: Side) -> anyhow::Result<Vec<u16>> {
    if !has_clsact(interface)? {
        return Ok(Vec::new());
    }
    let index = index(interface)?;
    let filters: Vec<TcMessage> = ask(|handle| async move {
        let request = handle.traffic_filter(index).get();
        let request = match side {
            Side::Ingress => request.ingress(),
            Side::Egress => request.egress(),
        };
        request.execute().try_collect().await
    })?;
    // tcm_info: priority in the upper, protocol in the lower half (TC_H_MAKE in include/uapi/linux/pkt_sched.h).
    Ok(filters.iter().filter_map(|filter| u16::try_from(filter.header.info >> 16).ok()).collect())
}

fn index(interface: &str) -> anyhow::Result<i32> {
    let index = if_nametoindex(interface).with_context(|| format!("looking up interface {interface}"))?;
    Ok(i32::try_from(index)?)
}

/// One exchange with rtnetlink. The socket is made on this thread, so it is of this thread's namespace.
fn ask<T, F>(question: impl FnOnce(Handle) -> F) -> anyhow::Result<T>
where
    F: Future<Output = Result<T, rtnetlink::Error>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let (connection, handle, _unasked) = rtnetlink::new_connection().context("opening rtnetlink")?;
        let connection = tokio::spawn(connection);
        let answer = question(handle).await.context("asking rtnetlink about queueing disciplines");
        connection.abort();
        answer
    })
}
