//! What the host must offer: privileges, and a kernel with the programs that are used.

use caps::{CapSet, Capability};
use httpfault_common::contract::Problem;

use crate::datapath;

/// Each capability that is needed, and for what.
const NEEDED: [(Capability, &str); 6] = [
    (Capability::CAP_BPF, "loading the kernel programs"),
    (Capability::CAP_NET_ADMIN, "attaching them"),
    (Capability::CAP_SYS_ADMIN, "entering the target's network namespace"),
    (Capability::CAP_SYS_PTRACE, "telling which process owns a socket"),
    (Capability::CAP_DAC_OVERRIDE, "reading /proc and writing /run/httpfault"),
    (Capability::CAP_PERFMON, "pointer arithmetic in the kernel programs"),
];

/// What is missing on this host.
pub(super) fn problems() -> Vec<Problem> {
    let mut problems = Vec::new();
    let missing: Vec<String> = NEEDED
        .iter()
        .filter(|(capability, _)| !caps::has_cap(None, CapSet::Effective, *capability).unwrap_or(false))
        .map(|(capability, purpose)| format!("{capability} ({purpose})"))
        .collect();
    if !missing.is_empty() {
        problems.push(Problem {
            subject: "privileges".into(),
            problem: format!("missing {}", missing.join(", ")),
            next: "run as root".into(),
        });
    }
    problems.extend(datapath::kernel_problems());
    problems
}

/// What works less well on this host.
pub(super) fn warnings() -> Vec<String> {
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
    match limit {
        Ok((_, hard)) if hard < 4096 => {
            vec![format!("at most {hard} open files are allowed, so at most about {} connections", hard / 2)]
        }
        _ => Vec::new(),
    }
}
