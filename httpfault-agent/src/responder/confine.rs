//! What the responder gives up before it reads the first byte of a client. All of it is a thread's, so the threads that
//! exist give it up one by one, and those that they start have nothing from the beginning.

mod filter;

use std::io;

use anyhow::Context as _;
use caps::CapSet;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, NetPort, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, Scope,
};
use rustix::{
    io::Errno,
    process::{DumpableBehavior, Gid, Uid, set_dumpable_behavior},
    thread::{
        clear_ambient_capability_set, set_no_new_privs, set_thread_groups, set_thread_res_gid,
        set_thread_res_uid,
    },
};

use crate::sys;
use filter::Filters;

/// `nobody`, the user that the kernel itself shows where there is none.
const NOBODY: u32 = 65534;

/// Confines threads.
pub(super) struct Confinement {
    /// The only one that may be connected to.
    port: u16,
    filters: Filters,
}

impl Confinement {
    /// For an application on that port.
    pub(super) fn new(port: u16) -> anyhow::Result<Self> {
        Ok(Self { port, filters: Filters::compile()? })
    }

    /// Confines the calling thread.
    pub(super) fn apply(&self) -> anyhow::Result<()> {
        set_no_new_privs(true).context("giving up what programs could gain")?;
        self.landlock().context("restricting it with Landlock")?;
        // Without CAP_SETPCAP the bounding set stays. It matters to programs that are started, and none can be.
        let _kept = caps::clear(None, CapSet::Bounding);
        become_nobody().context("changing its user")?;
        clear_ambient_capability_set().context("giving up ambient capabilities")?;
        for set in [CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
            caps::clear(None, set).with_context(|| format!("giving up {set:?} capabilities"))?;
        }
        // Others of the same user can't look into it.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).context("closing its memory")?;
        let mut filters = self.filters.programs().iter();
        filters.try_for_each(sys::filter_calls).context("installing its seccomp filter")
    }

    /// No file, no port but the application's, nobody else's signals or sockets. As much of it as the kernel has: files
    /// from 5.13, ports from 6.7.
    fn landlock(&self) -> anyhow::Result<()> {
        let restricted = Ruleset::default()
            .handle_access(AccessFs::from_all(ABI::V5))?
            .handle_access(AccessNet::from_all(ABI::V4))?
            .scope(Scope::from_all(ABI::V6))?
            .create()?
            .add_rule(NetPort::new(self.port, AccessNet::ConnectTcp))?
            .restrict_self()?;
        log::debug!("the responder and Landlock: {:?}", restricted.ruleset);
        Ok(())
    }
}

/// Another user, where that is possible: not without CAP_SETUID, and not where the namespace has no such user.
fn become_nobody() -> io::Result<()> {
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    let changed = set_thread_groups(&[])
        .and_then(|()| set_thread_res_gid(group, group, group))
        .and_then(|()| set_thread_res_uid(user, user, user));
    match changed {
        Ok(()) | Err(Errno::PERM | Errno::INVAL) => Ok(()),
        Err(why) => Err(why.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        net::{TcpListener, TcpStream},
        process::Command,
        sync::mpsc,
        thread,
    };

    use super::*;

    /// Runs `work` on a thread that has confined itself.
    fn confined<T: Send + 'static>(port: u16, work: impl FnOnce() -> T + Send + 'static) -> T {
        let confinement = Confinement::new(port).unwrap();
        let work = move || {
            confinement.apply().unwrap();
            work()
        };
        thread::spawn(work).join().unwrap()
    }

    #[test]
    fn the_kernel_says_so() {
        let (tell, told) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            Confinement::new(80).unwrap().apply().unwrap();
            tell.send(rustix::thread::gettid()).unwrap();
            ended.recv().unwrap();
        });
        let tid = told.recv().unwrap().as_raw_nonzero();
        let status = fs::read_to_string(format!("/proc/self/task/{tid}/status")).unwrap();
        end.send(()).unwrap();
        thread.join().unwrap();
        for line in [
            "CapInh:\t0000000000000000",
            "CapPrm:\t0000000000000000",
            "CapEff:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
        ] {
            assert!(status.lines().any(|known| known == line), "no {line:?} in {status}");
        }
        assert!(!status.lines().any(|line| line.starts_with("Uid:\t0")), "{status}");
    }

    #[test]
    fn files_processes_and_kernel_programs_are_out_of_reach() {
        let refused = confined(80, || {
            let calls = [
                ("openat", libc::SYS_openat),
                ("execve", libc::SYS_execve),
                ("execveat", libc::SYS_execveat),
                ("ptrace", libc::SYS_ptrace),
                ("bpf", libc::SYS_bpf),
                ("setns", libc::SYS_setns),
                ("unshare", libc::SYS_unshare),
                ("mount", libc::SYS_mount),
                ("kill", libc::SYS_kill),
                ("process_vm_readv", libc::SYS_process_vm_readv),
                ("pidfd_getfd", libc::SYS_pidfd_getfd),
                ("io_uring_setup", libc::SYS_io_uring_setup),
                ("perf_event_open", libc::SYS_perf_event_open),
                ("keyctl", libc::SYS_keyctl),
                ("listen", libc::SYS_listen),
                ("bind", libc::SYS_bind),
                ("socket", libc::SYS_socket),
                ("setsockopt", libc::SYS_setsockopt),
                ("seccomp", libc::SYS_seccomp),
            ];
            calls.map(|(name, number)| (name, sys::call_without_arguments(number)))
        });
        for (name, outcome) in refused {
            let errno = outcome.err().and_then(|why| why.raw_os_error());
            assert_eq!(errno, Some(libc::EPERM), "{name}");
        }
        let started = confined(80, || Command::new("/bin/true").status());
        assert_eq!(started.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert!(File::open("/dev/null").is_ok(), "other threads go on as they are");
    }

    #[test]
    fn a_confined_thread_makes_threads_and_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connected = confined(address.port(), move || {
            thread::Builder::new().spawn(move || TcpStream::connect(address)).unwrap().join().unwrap()
        });
        assert_eq!(connected.unwrap().peer_addr().unwrap(), address);
    }

    #[test]
    fn no_memory_becomes_a_program() {
        let outcome = confined(80, sys::map_executable);
        assert_eq!(outcome.unwrap_err().raw_os_error(), Some(libc::EPERM));
    }
}
