//! The few system interfaces that no safe crate offers.
#![expect(unsafe_code, reason = "getsockopt writes into memory that we give it, AsyncFd asks for a promise")]

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use anyhow::Context as _;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::{Interest, unix::AsyncFd};

/// `SO_NETNS_COOKIE` (include/uapi/asm-generic/socket.h; Linux 5.14, commit e8b9eab99232).
const SO_NETNS_COOKIE: libc::c_int = 71;

/// TCP_INFO of a TCP socket (tcp(7)). Fields that this kernel does not know stay zero.
pub(crate) fn tcp_info(socket: impl AsFd) -> io::Result<libc::tcp_info> {
    // SAFETY: tcp_info is plain integers: zero is a valid value.
    let mut info: libc::tcp_info = unsafe { mem::zeroed() };
    getsockopt(socket, libc::IPPROTO_TCP, libc::TCP_INFO, &mut info)?;
    Ok(info)
}

/// The cookie of the network namespace that a socket lives in; an error where the kernel cannot tell it.
pub(crate) fn netns_cookie(socket: impl AsFd) -> io::Result<u64> {
    let mut cookie = 0_u64;
    getsockopt(socket, libc::SOL_SOCKET, SO_NETNS_COOKIE, &mut cookie)?;
    Ok(cookie)
}

/// A descriptor that becomes readable when a process ends (pidfd_open(2)).
pub(crate) fn watch_process(pid: u32) -> anyhow::Result<AsyncFd<OwnedFd>> {
    let raw = Pid::from_raw(i32::try_from(pid)?).context("no process has pid 0")?;
    let pidfd = pidfd_open(raw, PidfdFlags::NONBLOCK)
        .with_context(|| format!("opening the target's process {pid}"))?;
    // SAFETY: an OwnedFd is the same open descriptor for as long as it lives.
    Ok(unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?)
}

fn getsockopt<T: Copy>(
    socket: impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &mut T,
) -> io::Result<()> {
    let mut length = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: `value` is valid for writes of `length` bytes, and both callers pass types made of plain integers.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            std::ptr::from_mut(value).cast(),
            &raw mut length,
        )
    };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
