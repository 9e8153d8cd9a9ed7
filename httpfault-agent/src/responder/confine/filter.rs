//! The system calls of a responder that has been confined. Others fail with EPERM, as if there were no right to them.
//!
//! The list is what was seen in runs under load with both C libraries, and what they fall back to. It serves sockets and
//! threads; it opens no file, starts no program, makes no process, and maps nothing that can be executed.

use std::{collections::BTreeMap, env};

use anyhow::Context as _;
use libc::{c_int, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// Allowed whatever the arguments are.
const ALLOWED: &[c_long] = &[
    // Connections.
    libc::SYS_accept4,
    libc::SYS_close,
    libc::SYS_connect,
    libc::SYS_fcntl,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_shutdown,
    libc::SYS_write,
    libc::SYS_writev,
    // Waiting.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_futex,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    // Threads. What is said of clone3 here is the other filter's to refuse.
    libc::SYS_clone3,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_getrandom,
];

/// Of include/uapi/asm-generic/ioctls.h; C libraries differ in their type.
const FIONBIO: u64 = 0x5421;
const FIONREAD: u64 = 0x541b;

/// What the responder sets on its sockets.
const SOCKET_OPTIONS: [(c_int, c_int); 8] = [
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
    (libc::SOL_SOCKET, libc::SO_LINGER),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
];

/// The filters of one thread; a call has to pass all of them.
pub(super) struct Filters([BpfProgram; 2]);

impl Filters {
    pub(super) fn compile() -> anyhow::Result<Self> {
        let allowed = filter(allowed()?, SeccompAction::Errno(errno(libc::EPERM)), SeccompAction::Allow)?;
        // Its flags lie in memory, where no filter sees them. Without it the C library calls clone, as on older kernels.
        let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
        let clone3 = filter(clone3, SeccompAction::Allow, SeccompAction::Errno(errno(libc::ENOSYS)))?;
        // In this order: when the list is in place no filter can be installed any more.
        Ok(Self([clone3, allowed]))
    }

    /// In the order in which they are to be installed.
    pub(super) fn programs(&self) -> &[BpfProgram] {
        &self.0
    }
}

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

fn filter(rules: Rules, otherwise: SeccompAction, listed: SeccompAction) -> anyhow::Result<BpfProgram> {
    let arch: TargetArch = env::consts::ARCH.try_into().context("this processor has no seccomp filter")?;
    let filter = SeccompFilter::new(rules, otherwise, listed, arch).context("making the seccomp filter")?;
    filter.try_into().context("compiling the seccomp filter")
}

fn allowed() -> anyhow::Result<Rules> {
    let mut rules: Rules = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    let without = |argument, bits| only(&[(argument, SeccompCmpOp::MaskedEq(low(bits)), 0)]);
    let exactly = |argument, value| only(&[(argument, SeccompCmpOp::Eq, low(value))]);
    rules.insert(libc::SYS_mmap, vec![without(2, libc::PROT_EXEC)?]);
    rules.insert(libc::SYS_mprotect, vec![without(2, libc::PROT_EXEC)?]);
    let thread = low(libc::CLONE_THREAD);
    rules.insert(libc::SYS_clone, vec![only(&[(0, SeccompCmpOp::MaskedEq(thread), thread)])?]);
    rules.insert(libc::SYS_prctl, vec![exactly(0, libc::PR_SET_NAME)?]);
    rules.insert(libc::SYS_ioctl, vec![request(FIONBIO)?, request(FIONREAD)?]);
    rules.insert(libc::SYS_socket, vec![exactly(0, libc::AF_INET)?, exactly(0, libc::AF_INET6)?]);
    // Made by the runtime, for signals.
    rules.insert(libc::SYS_socketpair, vec![exactly(0, libc::AF_UNIX)?]);
    let option = |&(level, name): &(c_int, c_int)| {
        only(&[(1, SeccompCmpOp::Eq, low(level)), (2, SeccompCmpOp::Eq, low(name))])
    };
    let options = SOCKET_OPTIONS.iter().map(option).collect::<anyhow::Result<_>>()?;
    rules.insert(libc::SYS_setsockopt, options);
    Ok(rules)
}

/// Allows a call whose arguments meet all of these.
fn only(conditions: &[(u8, SeccompCmpOp, u64)]) -> anyhow::Result<SeccompRule> {
    let condition = |(argument, operator, value): &(u8, SeccompCmpOp, u64)| {
        SeccompCondition::new(*argument, Dword, operator.clone(), *value)
    };
    let conditions = conditions.iter().map(condition).collect::<Result<_, _>>();
    SeccompRule::new(conditions.context("making a condition")?).context("making a rule")
}

fn request(number: u64) -> anyhow::Result<SeccompRule> {
    only(&[(1, SeccompCmpOp::Eq, number)])
}

/// Arguments are compared as the 32 bits that the kernel takes them for.
fn low(value: c_int) -> u64 {
    u64::from(value.cast_unsigned())
}

fn errno(value: c_int) -> u32 {
    value.cast_unsigned()
}
