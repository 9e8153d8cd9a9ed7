//! Takes over an agent's steering: the kernel program stays as it is, and the map from which it takes the responder's
//! socket gets ours.

use std::{fs, os::fd::OwnedFd};

use anyhow::{Context, Result};
use aya::{
    maps::{Map, MapData, MapInfo, SockMap},
    programs::loaded_programs,
};
use httpfault_common::abi::{map, responder};

/// Puts the listener where the IPv4 responder of this agent was.
pub(super) fn take(agent: &[i32], listener: &OwnedFd) -> Result<()> {
    let program = agent.iter().find_map(|pid| steering(*pid)).context("the agent holds no sk_lookup link")?;
    let mut loaded = loaded_programs().flatten();
    let program = loaded.find(|loaded| loaded.id() == program).context("its program is gone")?;
    let maps = program.map_ids().context("listing the program's maps")?.unwrap_or_default();
    let named = |id: &u32| MapInfo::from_id(*id).is_ok_and(|map| is_responder(map.name()));
    let id = maps.into_iter().find(named).context("the program has no map of the responder")?;
    let data = MapData::from_id(id).context("opening the map")?;
    let mut sockets = SockMap::try_from(Map::SockMap(data)).context("it is no map of sockets")?;
    sockets.set(responder::V4, listener, 0).context("putting the socket into the map")
}

/// The program of the link that a process has on a network namespace (`link_type` and `prog_id` in its fdinfo).
fn steering(pid: i32) -> Option<u32> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fdinfo")).ok()?;
    descriptors.flatten().find_map(|descriptor| {
        let text = fs::read_to_string(descriptor.path()).ok()?;
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            line.map(str::trim)
        };
        (value("link_type")? == "netns").then(|| value("prog_id")?.parse().ok())?
    })
}

/// The kernel keeps the first fifteen bytes of a name.
fn is_responder(name: &[u8]) -> bool {
    !name.is_empty() && map::RESPONDER.as_bytes().starts_with(name)
}
