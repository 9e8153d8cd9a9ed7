//! The few system interfaces that no safe crate offers.
#![expect(
    unsafe_code,
    reason = "getsockopt writes into memory that we give it, AsyncFd asks for a promise, fork makes a second process"
)]

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use httpfault_responder::Stats;
use nix::unistd::ForkResult;
use rustix::process::Pid;
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

/// Makes two processes of this one: the new one, or `None` in it. Only while this process has one thread.
pub(crate) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: with one thread no lock is held by another one, which is what makes code after fork() unsafe.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => Ok(None),
        ForkResult::Parent { child } => {
            Pid::from_raw(child.as_raw()).map(Some).ok_or_else(|| io::Error::other("it has no number"))
        }
    }
}

/// What processes of which one is forked from another may share.
///
/// # Safety
///
/// It is made of atomics alone: it refers to nothing else in memory, and nothing happens when it is dropped.
pub(crate) unsafe trait Shared: Sync {}

// SAFETY: an atomic.
unsafe impl Shared for AtomicU64 {}
// SAFETY: an atomic.
unsafe impl Shared for AtomicBool {}
// SAFETY: arrays and structures of atomics.
unsafe impl Shared for Stats {}

/// As many values as are asked for, shared with the processes that are forked from this one afterwards. They stay where
/// they are as long as there is a process.
pub(crate) fn share<T: Shared>(count: usize, new: impl Fn() -> T) -> io::Result<&'static [T]> {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    let length = (count * size_of::<T>()).max(1);
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, at an address that the kernel chooses.
    let pages = unsafe { mmap_anonymous(std::ptr::null_mut(), length, access, MapFlags::SHARED) }?;
    let first =
        NonNull::new(pages.cast::<T>()).ok_or_else(|| io::Error::other("the kernel mapped nothing"))?;
    for index in 0..count {
        // SAFETY: a page is aligned for every type here, the mapping is as long as the values, and nobody else has it.
        unsafe { first.add(index).write(new()) };
    }
    // SAFETY: all of them are written, and the mapping is never taken away.
    Ok(unsafe { std::slice::from_raw_parts(first.as_ptr(), count) })
}

/// A word that processes share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedWord(&'static AtomicU64);

impl SharedWord {
    /// Shared with processes that are forked from this one afterwards.
    pub(crate) fn new(value: u64) -> io::Result<Self> {
        let word = share(1, || AtomicU64::new(value))?.first();
        word.map(Self).ok_or_else(|| io::Error::other("the kernel mapped nothing"))
    }

    pub(crate) fn get(self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// Closes every descriptor but standard input, output and error, and this one: whoever started the agent may have left
/// some open.
pub(crate) fn close_all_but(kept: impl AsFd) -> io::Result<()> {
    const FIRST: libc::c_int = libc::STDERR_FILENO + 1;
    let kept = kept.as_fd().as_raw_fd();
    for (first, last) in
        [(FIRST, kept.saturating_sub(1)), (kept.saturating_add(1).max(FIRST), libc::c_int::MAX)]
    {
        // SAFETY: it takes numbers alone. The caller has no descriptor that is used afterwards but the one it names.
        if first <= last && unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Each steered connection is a descriptor. A limit that can't be raised bounds the number of connections, no more. Returns
/// the limit.
pub(crate) fn raise_file_limit() -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return usize::MAX };
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(why) => {
            log::warn!("raising the limit of open files to {hard}: {why}");
            soft
        }
    };
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Has every further system call of this thread, and of the threads that it starts, decided on by a seccomp filter. What
/// the kernel does by default to protect such a thread from others by slowing it down (speculative store bypass, before
/// 5.16) is left off: it keeps no secrets from its clients.
pub(crate) fn filter_calls(program: &seccompiler::BpfProgram) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: program.len().try_into().map_err(io::Error::other)?,
        filter: program.as_ptr().cast_mut().cast(),
    };
    let (operation, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW);
    // SAFETY: the kernel copies as many instructions as it is told, and writes none.
    match unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, &raw const program) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What a system call says that is given nothing but zeros.
#[cfg(test)]
pub(crate) fn call_without_arguments(number: libc::c_long) -> io::Result<libc::c_long> {
    // SAFETY: an address of zero is refused or means "none", and no descriptor is made or closed but standard input.
    match unsafe { libc::syscall(number, 0, 0, 0, 0, 0, 0) } {
        -1 => Err(io::Error::last_os_error()),
        outcome => Ok(outcome),
    }
}

/// Maps a page that could be executed.
#[cfg(test)]
pub(crate) fn map_executable() -> io::Result<()> {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    // SAFETY: a new mapping, at an address that the kernel chooses.
    let page = unsafe {
        mmap_anonymous(std::ptr::null_mut(), 1, ProtFlags::READ | ProtFlags::EXEC, MapFlags::PRIVATE)
    };
    Ok(page.map(drop)?)
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
