//! Links and addresses, over rtnetlink.

use std::{net::IpAddr, os::fd::AsRawFd};

use anyhow::{Context, Result};
use nix::net::if_::if_nametoindex;
use rtnetlink::{
    Handle, LinkUnspec, LinkVeth,
    packet_route::address::{AddressAttribute, AddressFlags},
};

use crate::netns::Netns;

const LOOPBACK: &str = "lo";

/// One end of a cable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End<'a> {
    pub(crate) netns: &'a Netns,
    pub(crate) interface: &'a str,
    /// Addresses and the length of their prefix.
    pub(crate) addresses: [(IpAddr, u8); 2],
}

/// Connects two namespaces with a veth pair.
pub(crate) fn connect(left: End<'_>, right: End<'_>) -> Result<()> {
    let there = right.netns.file.as_raw_fd();
    ask(left.netns, async |links| {
        links.link().add(LinkVeth::new(left.interface, right.interface).build()).execute().await?;
        let moved = LinkUnspec::new_with_name(right.interface).setns_by_fd(there).build();
        links.link().set(moved).execute().await
    })
    .context("making a veth pair")?;
    for end in [left, right] {
        up(&end).with_context(|| format!("configuring {}", end.interface))?;
    }
    Ok(())
}

/// Sets the loopback interface up.
pub(crate) fn loopback_up(netns: &Netns) -> Result<()> {
    let set_up = async |links: Handle| {
        links.link().set(LinkUnspec::new_with_name(LOOPBACK).up().build()).execute().await
    };
    ask(netns, set_up).context("setting the loopback interface up")
}

fn up(end: &End<'_>) -> Result<()> {
    let End { netns, interface, addresses } = *end;
    let index = netns.run(|| Ok(if_nametoindex(interface)?))?;
    ask(netns, async |links| {
        for (address, prefix) in addresses {
            let mut add = links.address().add(index, address, prefix);
            // Without duplicate address detection, which would keep the address unusable for a second.
            add.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
            add.execute().await?;
        }
        links.link().set(LinkUnspec::new_with_name(interface).up().build()).execute().await
    })?;
    loopback_up(netns)
}

/// One exchange with rtnetlink, in a namespace.
fn ask<T: Send>(
    netns: &Netns,
    question: impl AsyncFnOnce(Handle) -> Result<T, rtnetlink::Error> + Send,
) -> Result<T> {
    netns.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(async {
            let (connection, handle, _unasked) = rtnetlink::new_connection().context("opening rtnetlink")?;
            let connection = tokio::spawn(connection);
            let answer = question(handle).await;
            connection.abort();
            Ok(answer?)
        })
    })
}
