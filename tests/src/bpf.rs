//! Kernel programs, run by the kernel with a context or a packet of the test's (`BPF_PROG_TEST_RUN`).
#![expect(unsafe_code, reason = "aya runs no sk_lookup program")]

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd as _, AsRawFd as _},
};

use anyhow::{Context as _, Result};
use aya::programs::{ProgramFd, loaded_programs};
use nix::libc;

/// `struct bpf_sk_lookup` of include/uapi/linux/bpf.h, addresses as they are on the wire.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Lookup {
    /// Of the socket that the program chose; zero if it chose none.
    pub cookie: u64,
    pub family: u32,
    pub protocol: u32,
    pub remote_ip4: [u8; 4],
    pub remote_ip6: [u8; 16],
    pub remote_port: [u8; 2],
    pad: u16,
    pub local_ip4: [u8; 4],
    pub local_ip6: [u8; 16],
    pub local_port: u32,
    /// The kernel takes no other than zero, here and in what follows.
    ingress_ifindex: u32,
    end: u32,
}

impl Lookup {
    /// A SYN from `remote` to `local`, which are of one family.
    pub fn tcp(remote: SocketAddr, local: SocketAddr) -> Self {
        let mut lookup = Self {
            protocol: libc::IPPROTO_TCP.cast_unsigned(),
            remote_port: remote.port().to_be_bytes(),
            local_port: local.port().into(),
            ..Self::default()
        };
        match (remote.ip(), local.ip()) {
            (IpAddr::V6(remote), IpAddr::V6(local)) => {
                lookup.family = libc::AF_INET6.cast_unsigned();
                (lookup.remote_ip6, lookup.local_ip6) = (remote.octets(), local.octets());
            }
            (remote, local) => {
                lookup.family = libc::AF_INET.cast_unsigned();
                let octets = |ip| if let IpAddr::V4(v4) = ip { v4.octets() } else { [0; 4] };
                (lookup.remote_ip4, lookup.local_ip4) = (octets(remote), octets(local));
            }
        }
        lookup
    }
}

/// The members of `union bpf_attr` for `BPF_PROG_TEST_RUN`.
#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: i32,
    returned: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size_in: u32,
    context_size_out: u32,
    context_in: u64,
    context_out: u64,
}

const PROG_TEST_RUN: libc::c_long = 10;

/// A loaded program. The caller has taken the machine, so there is one of each name.
#[derive(Debug)]
pub struct Program(ProgramFd);

impl Program {
    /// By its name, as far as the kernel keeps it (15 bytes).
    pub fn find(name: &str) -> Result<Self> {
        let named =
            loaded_programs().filter_map(Result::ok).filter(|program| program.name() == name.as_bytes());
        // One that is being unloaded can't be opened any more.
        let mut found = named.filter_map(|program| program.fd().ok());
        found.next().map(Self).with_context(|| format!("{name} is not loaded"))
    }

    /// What an sk_lookup program says to `lookup`, and the cookie of the socket that it chose, or zero.
    pub fn look_up(&self, lookup: &Lookup) -> Result<(u32, u64)> {
        let mut changed = *lookup;
        let verdict = self.run(|attr| {
            let size = u32::try_from(size_of::<Lookup>()).unwrap_or(0);
            (attr.context_size_in, attr.context_size_out) = (size, size);
            attr.context_in = (&raw const *lookup).expose_provenance() as u64;
            attr.context_out = (&raw mut changed).expose_provenance() as u64;
        })?;
        Ok((verdict, changed.cookie))
    }

    /// What a socket filter says to a frame: how many bytes the socket gets of what follows Ethernet's header.
    pub fn filter(&self, frame: &[u8]) -> Result<u32> {
        self.run(|attr| {
            attr.data_size_in = u32::try_from(frame.len()).unwrap_or(0);
            attr.data_in = frame.as_ptr().expose_provenance() as u64;
        })
    }

    fn run(&self, fill: impl FnOnce(&mut TestRun)) -> Result<u32> {
        let program = self.0.as_fd().as_raw_fd();
        let mut attr = TestRun { program, repeat: 1, ..TestRun::default() };
        fill(&mut attr);
        // SAFETY: the callers' addresses are of live memory, as long as the kernel is told.
        let failed =
            unsafe { libc::syscall(libc::SYS_bpf, PROG_TEST_RUN, &raw mut attr, size_of::<TestRun>()) };
        if failed < 0 {
            return Err(io::Error::last_os_error()).context("running a kernel program");
        }
        Ok(attr.returned)
    }
}
