//! The few system interfaces that no safe crate offers.
#![expect(
    unsafe_code,
    reason = "getsockopt writes into memory that we give it, AsyncFd asks for a promise, fork makes a second process"
)]

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

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

/// Registers a descriptor with Tokio.
pub(crate) fn async_fd(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is the same open descriptor for as long as it lives.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, interest) }?)
}

/// Makes two processes of this one; true in the new one. Only while this process has one thread.
pub(crate) fn fork() -> io::Result<bool> {
    // SAFETY: with one thread no lock is held by another one, which is what makes code after fork() unsafe.
    Ok(unsafe { nix::unistd::fork() }?.is_child())
}

/// A word that two processes share, one of which is forked from the other.
#[derive(Debug)]
pub(crate) struct SharedWord(NonNull<AtomicU64>);

// SAFETY: an atomic may be used from every thread, and the mapping is never taken away.
unsafe impl Send for SharedWord {}
// SAFETY: as above.
unsafe impl Sync for SharedWord {}

impl SharedWord {
    /// Zero. Shared with processes that are forked from this one afterwards.
    pub(crate) fn new() -> io::Result<Self> {
        use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let page = unsafe {
            mmap_anonymous(std::ptr::null_mut(), size_of::<AtomicU64>(), access, MapFlags::SHARED)
        }?;
        NonNull::new(page.cast()).map(Self).ok_or_else(|| io::Error::other("the kernel mapped nothing"))
    }

    pub(crate) fn get(&self) -> u64 {
        self.word().load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: u64) {
        self.word().store(value, Ordering::Relaxed);
    }

    fn word(&self) -> &AtomicU64 {
        // SAFETY: the mapping is page-aligned, zeroed, and lives as long as the process.
        unsafe { self.0.as_ref() }
    }
}

/// Whether a socket filter is attached to a socket. The kernel gives out the instructions of a classic one, and refuses
/// those of another one (sk_get_filter() in net/core/filter.c).
pub(crate) fn has_filter(socket: impl AsFd) -> io::Result<bool> {
    let mut length: libc::socklen_t = 0;
    // SAFETY: a length of zero asks for the number of instructions; nothing is written but that number.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_GET_FILTER,
            std::ptr::null_mut(),
            &raw mut length,
        )
    };
    Ok(failed != 0 || length > 0)
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
