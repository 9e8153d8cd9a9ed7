//! What the host must offer: privileges, and a kernel with the programs that are used.

use caps::{CapSet, Capability};
use httpfault_common::contract::Problem;

use crate::datapath;

/// What is needed of the capabilities, any one of each line, and for what. CAP_SYS_ADMIN includes what CAP_BPF,
/// CAP_PERFMON and CAP_NET_ADMIN are asked for when programs are loaded and linked (capabilities(7), "CAP_BPF").
const NEEDED: [(&[Capability], &str); 3] = [
    (&[Capability::CAP_SYS_ADMIN], "entering the target's network namespace, loading the kernel programs"),
    (&[Capability::CAP_SYS_PTRACE], "telling which namespace a process is in and which sockets it owns"),
    (
        &[Capability::CAP_DAC_READ_SEARCH, Capability::CAP_DAC_OVERRIDE],
        "reading /proc of other users' processes",
    ),
];

/// What is missing on this host.
pub(super) fn problems() -> Vec<Problem> {
    let mut problems = Vec::new();
    let missing: Vec<String> = NEEDED
        .iter()
        .filter(|(any, _)| {
            !any.iter().any(|one| caps::has_cap(None, CapSet::Effective, *one).unwrap_or(false))
        })
        .filter_map(|(any, purpose)| any.first().map(|first| format!("{first} ({purpose})")))
        .collect();
    if !missing.is_empty() {
        problems.push(Problem {
            subject: "privileges".into(),
            problem: format!("missing {}", missing.join(", ")),
            next: "run as root, or with these capabilities".into(),
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
