//! Attach points that are links: they vanish with this process, however it ends.

use std::{
    fs::File,
    os::fd::{AsFd as _, OwnedFd},
};

use anyhow::Context as _;
use httpfault_common::abi::program;

use super::object::Object;
use crate::{cgroup::Cgroup, netns::Netns};

/// In the order in which they are attached: getpeername before connect, so that no redirected client sees loopback.
pub(super) const CLIENT_PROGRAMS: [&str; 4] =
    [program::GETPEERNAME4, program::GETPEERNAME6, program::CONNECT4, program::CONNECT6];

/// Clients inside the task, by their container's cgroup. Nothing to do on cgroup v1, of which preflight warned. A link
/// takes no attach flags and always lives beside other programs (Linux 5.7, commit af6eea57437a).
pub(super) fn clients(object: &Object, cgroup: &Cgroup, links: &mut Vec<OwnedFd>) -> anyhow::Result<()> {
    let Some(unified) = cgroup.unified().context("opening the container's cgroup")? else { return Ok(()) };
    let dir = File::open(&unified.dir).with_context(|| format!("opening {}", unified.dir.display()))?;
    for name in CLIENT_PROGRAMS {
        let link = object.link(name, dir.as_fd());
        links.push(link.with_context(|| format!("attaching to cgroup {}", unified.dir.display()))?);
    }
    Ok(())
}

/// New connections from outside: from here on they get the fault.
pub(super) fn inbound(object: &Object, netns: &Netns, links: &mut Vec<OwnedFd>) -> anyhow::Result<()> {
    let link = object.link(program::STEER, netns.as_fd());
    links.push(link.context("attaching to the target's network namespace")?);
    Ok(())
}
