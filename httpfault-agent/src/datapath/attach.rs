//! Attach points that are links: they vanish with this process, however it ends.

use std::fs::File;

use anyhow::Context as _;
use aya::{
    Ebpf,
    programs::{CgroupAttachMode, CgroupSockAddr, SkLookup},
};
use httpfault_common::abi::program;

use super::program as typed;
use crate::{cgroup::Cgroup, netns::Netns};

/// In the order in which they are attached: getpeername before connect, so that no redirected client sees loopback.
pub(super) const CLIENT_PROGRAMS: [&str; 4] =
    [program::GETPEERNAME4, program::GETPEERNAME6, program::CONNECT4, program::CONNECT6];

/// Clients inside the task, by their container's cgroup. Nothing to do on cgroup v1, of which preflight warned.
pub(super) fn clients(ebpf: &mut Ebpf, cgroup: &Cgroup) -> anyhow::Result<()> {
    let Some(unified) = cgroup.unified().context("opening the container's cgroup")? else { return Ok(()) };
    let dir = File::open(&unified.dir).with_context(|| format!("opening {}", unified.dir.display()))?;
    for name in CLIENT_PROGRAMS {
        let program: &mut CgroupSockAddr = typed(ebpf, name)?;
        // A link takes no attach flags and always lives beside other programs, whatever the mode's name says
        // (Linux 5.7, commit af6eea57437a).
        program
            .attach(&dir, CgroupAttachMode::Single)
            .with_context(|| format!("attaching {name} to cgroup {}", unified.dir.display()))?;
    }
    Ok(())
}

/// New connections from outside: from here on they get the fault.
pub(super) fn inbound(ebpf: &mut Ebpf, netns: &Netns) -> anyhow::Result<()> {
    let program: &mut SkLookup = typed(ebpf, program::STEER)?;
    program.attach(netns).context("attaching httpfault_steer to the target's network namespace")?;
    Ok(())
}
