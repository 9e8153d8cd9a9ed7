//! The kernel side of one target's fault: loaded, configured, attached, read, detached. The only module that sees aya.

mod bpf;
mod object;
mod attach;
pub(crate) mod received;
pub(crate) mod existing;

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
};

use anyhow::Context as _;
use aya::{
    maps::{Array, HashMap, MapData, PerCpuArray, SockMap},
    programs::{ProgramInfo, ProgramType, loaded_programs},
    util::KernelVersion,
};
use httpfault_common::{
    abi::{self, Config, Peer, address_of, counter, map, program},
    contract::Problem,
};
use socket2::Socket;

use crate::{cgroup::Cgroup, netns::Netns, scope::Scope};
pub(crate) use bpf::{LeaseWords, Sent};
use object::{NEW_CONNECTIONS, Object};

/// Oldest kernel with every program type, helper and attach point that is used.
const OLDEST_KERNEL: KernelVersion = KernelVersion::new(5, 10, 0);

/// What the kernel programs are told before they are attached.
pub(crate) struct Settings<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) port: u16,
    pub(crate) proxy_port: u16,
    /// 0 where the kernel cannot tell it.
    pub(crate) netns_cookie: u64,
    pub(crate) responders: &'a Responders,
    /// Whether steering decisions are logged.
    pub(crate) log_steering: bool,
}

/// The responder's listening sockets.
pub(crate) struct Responders {
    pub(crate) v4: Option<Socket>,
    pub(crate) v6: Option<Socket>,
}

impl Responders {
    /// For the process that accepts.
    pub(crate) fn into_descriptors(self) -> impl Iterator<Item = OwnedFd> {
        [self.v4, self.v6].into_iter().flatten().map(OwnedFd::from)
    }
}

/// The loaded programs of one target. Dropping it detaches every hook that is a link.
pub(crate) struct Datapath {
    object: Object,
    links: Vec<OwnedFd>,
    logger: Option<aya_log::EbpfLogger<&'static dyn log::Log>>,
    counters: PerCpuArray<MapData, u64>,
    probe: Array<MapData, Peer>,
}

/// Values of the kernel counters, by `abi::counter` index.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KernelCounters([u64; counter::COUNT as usize]);

impl KernelCounters {
    /// One counter of `abi::counter`.
    pub(crate) fn get(&self, index: u32) -> u64 {
        self.0.get(index as usize).copied().unwrap_or(0)
    }
}

/// What this kernel lacks.
pub(crate) fn kernel_problems() -> Vec<Problem> {
    let problem = |problem: String| Problem {
        subject: "kernel".into(),
        problem,
        next: "use a host with Linux 5.10 or later, such as the ECS-optimised Amazon Linux 2023 image".into(),
    };
    match KernelVersion::current() {
        Ok(current) if current < OLDEST_KERNEL => {
            return vec![problem(format!("{current:?} is older than 5.10"))];
        }
        Ok(_) => {}
        Err(why) => return vec![problem(format!("its version can't be read: {why}"))],
    }
    [ProgramType::SkLookup, ProgramType::CgroupSockAddr]
        .into_iter()
        .filter_map(|kind| match aya::sys::is_program_supported(kind) {
            Ok(true) => None,
            Ok(false) => Some(problem(format!("it has no {kind:?} programs"))),
            // Without the privilege to ask; the missing privilege is reported on its own.
            Err(_) => None,
        })
        .collect()
}

/// The sk_lookup programs that are attached to a namespace already, for people.
pub(crate) fn lookups(netns: &Netns) -> Vec<String> {
    // They only inform: without the right to ask none is named.
    let Ok(ids) = bpf::attached_lookups(netns) else { return Vec::new() };
    if ids.is_empty() {
        return Vec::new();
    }
    let attached = loaded_programs().filter_map(Result::ok).filter(|program| ids.contains(&program.id()));
    let name = |program: ProgramInfo| program.name_as_str().unwrap_or("without a name").to_owned();
    attached.map(name).collect()
}

impl Datapath {
    /// Loads the programs and writes their configuration. Nothing is attached yet.
    pub(crate) fn load(settings: &Settings<'_>) -> anyhow::Result<Self> {
        let mut names = vec![program::STEER];
        names.extend(attach::CLIENT_PROGRAMS);
        let object = Object::load(&NEW_CONNECTIONS, &names, &[], settings.log_steering)?;
        let logger = settings.log_steering.then(|| object.logger()).transpose()?;

        let mut addresses: HashMap<_, abi::Address, u32> = object.map(map::ADDRESSES)?;
        for (ip, flags) in &settings.scope.addresses {
            addresses.insert(address(*ip), flags, 0).with_context(|| format!("writing address {ip}"))?;
        }
        let mut responder: SockMap<_> = object.map(map::RESPONDER)?;
        for (slot, socket) in
            [(abi::responder::V4, &settings.responders.v4), (abi::responder::V6, &settings.responders.v6)]
        {
            if let Some(socket) = socket {
                responder
                    .set(slot, socket, 0)
                    .context("handing the responder's socket to the kernel programs")?;
            }
        }
        let config = Config {
            netns_cookie: settings.netns_cookie,
            port: settings.port.into(),
            proxy_port: settings.proxy_port.into(),
            flags: settings.scope.flags,
            pad: 0,
        };
        let mut configs: Array<_, Config> = object.map(map::CONFIG)?;
        configs.set(0, config, 0).context("writing the scope")?;

        let counters = object.map(map::COUNTERS)?;
        let probe = object.map(map::PROBE)?;
        Ok(Self { object, links: Vec::new(), logger, counters, probe })
    }

    /// Attaches the hooks of in-task clients, then the one of inbound connections.
    pub(crate) fn attach(&mut self, netns: &Netns, client_cgroups: &[Cgroup]) -> anyhow::Result<()> {
        for cgroup in client_cgroups {
            attach::clients(&self.object, cgroup, &mut self.links)?;
        }
        attach::inbound(&self.object, netns, &mut self.links)
    }

    /// Until when steering is allowed. The lease is over until it is written.
    pub(crate) fn lease(&self) -> anyhow::Result<LeaseWords> {
        LeaseWords::map(self.object.descriptor(map::LEASE)?).context("mapping the lease")
    }

    /// The map of the in-task clients that the kernel programs have sent to the responder, see [`Sent`].
    pub(crate) fn sent(&self) -> anyhow::Result<OwnedFd> {
        self.object.descriptor(map::SENT)?.try_clone().context("copying a descriptor")
    }

    /// Names the agent's own probe connection, which is steered although it comes from inside; `None` forgets it.
    pub(crate) fn set_probe(&mut self, peer: Option<SocketAddr>) -> anyhow::Result<()> {
        let peer = peer.map_or_else(Peer::default, |peer| Peer {
            address: address(peer.ip()),
            port: peer.port().into(),
            pad: 0,
        });
        self.probe.set(0, peer, 0).context("writing the probe's address")
    }

    /// Sums the counters over all CPUs.
    pub(crate) fn counters(&self) -> KernelCounters {
        let mut sums = KernelCounters::default();
        for (index, sum) in (0..).zip(sums.0.iter_mut()) {
            // A counter that can't be read stays zero: it only informs.
            *sum = self.counters.get(&index, 0).map_or(0, |values| values.iter().sum());
        }
        sums
    }

    /// Prints what the kernel programs logged since the last call.
    pub(crate) fn print_log(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    /// Detaches every hook: a link is detached when its last descriptor is closed, and nobody else has one.
    pub(crate) fn detach(&mut self) {
        self.links.clear();
    }
}

/// An address as the kernel programs see it.
fn address(ip: IpAddr) -> abi::Address {
    let v6 = match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    address_of(v6.octets())
}
