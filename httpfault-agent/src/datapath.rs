//! The kernel side of one target's fault: loaded, configured, attached, read, detached. The only module that sees aya.

mod object;
mod attach;
mod pooled;

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context as _, anyhow};
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData, PerCpuArray, SockMap},
    programs::ProgramType,
    util::KernelVersion,
};
use httpfault_common::{
    abi::{self, Config, Flow, Lease, Peer, address_of, counter, map, octets_of},
    contract::Problem,
};
use socket2::Socket;

use crate::{cgroup::Cgroup, netns::Netns, scope::Scope};
pub(crate) use pooled::{Filter, remove_filter, resets_by_filter};

/// Oldest kernel with every program type, helper and attach point that is used.
const OLDEST_KERNEL: KernelVersion = KernelVersion::new(5, 10, 0);

/// What the kernel programs are told before they are attached.
pub(crate) struct Settings<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) port: u16,
    pub(crate) proxy_port: u16,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub(crate) deadline_ns: u64,
    /// The container whose existing connections may be reset; `None` on cgroup v1.
    pub(crate) cgroup: Option<&'a crate::cgroup::Unified>,
    /// 0 where the kernel cannot tell it.
    pub(crate) netns_cookie: u64,
    pub(crate) responders: &'a Responders,
    /// Whether the classifier that resets existing connections is loaded too.
    pub(crate) with_reset: bool,
    /// Whether steering decisions are logged.
    pub(crate) log_steering: bool,
}

/// The responder's listening sockets.
pub(crate) struct Responders {
    pub(crate) v4: Option<Socket>,
    pub(crate) v6: Option<Socket>,
}

/// The loaded programs of one target. Dropping it detaches every hook that is a link.
pub(crate) struct Datapath {
    ebpf: Ebpf,
    logger: Option<aya_log::EbpfLogger<&'static dyn log::Log>>,
    lease: Array<MapData, Lease>,
    counters: PerCpuArray<MapData, u64>,
    resets: HashMap<MapData, Flow, u8>,
    filters: Vec<pooled::Attached>,
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

impl Datapath {
    /// Loads the programs and writes their configuration. Nothing is attached yet.
    pub(crate) fn load(settings: &Settings<'_>) -> anyhow::Result<Self> {
        let mut ebpf = object::load(settings.with_reset, settings.log_steering)?;
        let logger = settings.log_steering.then(|| object::logger(&mut ebpf)).transpose()?;

        let mut addresses: HashMap<_, abi::Address, u32> = take(&mut ebpf, map::ADDRESSES)?;
        for (ip, flags) in &settings.scope.addresses {
            addresses.insert(address(*ip), flags, 0).with_context(|| format!("writing address {ip}"))?;
        }
        let mut responder: SockMap<_> = take(&mut ebpf, map::RESPONDER)?;
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
            deadline_ns: settings.deadline_ns,
            cgroup_id: settings.cgroup.map_or(0, |cgroup| cgroup.id),
            netns_cookie: settings.netns_cookie,
            port: settings.port.into(),
            proxy_port: settings.proxy_port.into(),
            flags: settings.scope.flags,
            cgroup_level: settings.cgroup.map_or(0, |cgroup| cgroup.level),
        };
        let mut configs: Array<_, Config> = take(&mut ebpf, map::CONFIG)?;
        configs.set(0, config, 0).context("writing the scope")?;

        let lease = take(&mut ebpf, map::LEASE)?;
        let counters = take(&mut ebpf, map::COUNTERS)?;
        let resets = take(&mut ebpf, map::RESETS)?;
        Ok(Self { ebpf, logger, lease, counters, resets, filters: Vec::new() })
    }

    /// Attaches the hooks of in-task clients, then the one of inbound connections.
    pub(crate) fn attach(&mut self, netns: &Netns, client_cgroups: &[Cgroup]) -> anyhow::Result<()> {
        for cgroup in client_cgroups {
            attach::clients(&mut self.ebpf, cgroup)?;
        }
        attach::inbound(&mut self.ebpf, netns)
    }

    /// Attaches the classifier that resets existing connections. `register` is told of each filter that can outlive
    /// this process, before it is made.
    pub(crate) fn attach_pooled(
        &mut self,
        netns: &Netns,
        interfaces: &[String],
        register: &mut (dyn FnMut(&Filter) -> anyhow::Result<()> + Send),
    ) -> anyhow::Result<()> {
        pooled::attach(&mut self.ebpf, netns, interfaces, register, &mut self.filters)
    }

    /// Moves the heartbeat forward: steering is allowed until then.
    pub(crate) fn renew(&mut self, alive_until_ns: u64) -> anyhow::Result<()> {
        self.lease.set(0, Lease { alive_until_ns }, 0).context("renewing the lease in the kernel")
    }

    /// Names the agent's own probe connection, which is steered although it comes from inside; `None` forgets it.
    pub(crate) fn set_probe(&mut self, peer: Option<SocketAddr>) -> anyhow::Result<()> {
        let peer = peer.map_or_else(Peer::default, |peer| Peer {
            address: address(peer.ip()),
            port: peer.port().into(),
            pad: 0,
        });
        let map = self.ebpf.map_mut(map::PROBE).context("the object has no map PROBE")?;
        Array::try_from(map)?.set(0, peer, 0).context("writing the probe's address")
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

    /// The clients whose existing connections were reset.
    pub(crate) fn reset_clients(&self) -> HashSet<SocketAddr> {
        let client = |flow: Flow| {
            let ip = IpAddr::from(octets_of(flow.remote)).to_canonical();
            Some(SocketAddr::new(ip, u16::try_from(flow.remote_port).ok()?))
        };
        self.resets.keys().filter_map(|flow| client(flow.ok()?)).collect()
    }

    /// Prints what the kernel programs logged since the last call.
    pub(crate) fn print_log(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    /// Detaches every hook. All of them are tried; the error names those that stayed.
    pub(crate) fn detach(&mut self, netns: &Netns) -> Result<(), Vec<anyhow::Error>> {
        let mut errors = pooled::detach(&mut self.ebpf, netns, &mut self.filters);
        errors.extend(object::unload(&mut self.ebpf));
        if errors.is_empty() { Ok(()) } else { Err(errors) }
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

/// Takes a map out of the object, as the type that this crate uses it with.
fn take<M>(ebpf: &mut Ebpf, name: &str) -> anyhow::Result<M>
where
    M: TryFrom<aya::maps::Map>,
    M::Error: Into<anyhow::Error>,
{
    let map = ebpf.take_map(name).ok_or_else(|| anyhow!("the object has no map {name}"))?;
    M::try_from(map).map_err(|why| why.into().context(format!("map {name}")))
}

/// A program of the object, as its type.
fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> anyhow::Result<&'a mut P>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = aya::programs::ProgramError>,
{
    let program = ebpf.program_mut(name).ok_or_else(|| anyhow!("the object has no program {name}"))?;
    <&mut P>::try_from(program).with_context(|| format!("program {name}"))
}
