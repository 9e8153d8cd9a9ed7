//! Which descriptors of a process have a thread asleep in a read. A blocking reader that sleeps stays where it is for as
//! long as nothing reaches it; one that is on its way into a read would miss what is done to the socket meanwhile.

use procfs::process::{Process, Syscall};

/// System calls that read from a socket, with the descriptor as their first argument.
const READS: [libc::c_long; 5] =
    [libc::SYS_read, libc::SYS_readv, libc::SYS_recvfrom, libc::SYS_recvmsg, libc::SYS_recvmmsg];

/// Whether every thread of the process sleeps, so that none is in the middle of a read, or about to begin one.
pub(super) fn all_sleep(pid: u32) -> bool {
    let tasks = i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok()?.tasks().ok());
    tasks.is_some_and(|tasks| {
        // A thread that ended meanwhile reads nothing.
        tasks.filter_map(Result::ok).all(|task| task.stat().map_or(true, |stat| stat.state == 'S'))
    })
}

/// Whether a thread of the process sleeps in a read on this descriptor.
pub(super) fn sleeps_on(pid: u32, descriptor: i32) -> bool {
    let tasks = i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok()?.tasks().ok());
    tasks.into_iter().flatten().filter_map(Result::ok).any(|task| {
        let Ok(Syscall::Blocked { syscall_number, argument_registers: [first, ..], .. }) = task.syscall()
        else {
            return false;
        };
        // Asleep, that is waiting for data: one that was preempted or stopped shows the call too.
        READS.contains(&(syscall_number as libc::c_long))
            && i32::try_from(first) == Ok(descriptor)
            && task.stat().is_ok_and(|stat| stat.state == 'S')
    })
}
