//! The kernels, and why each is here.

use super::finding::{Feature, Host};
use crate::{debian::Suite, dist::Arch};

/// A row of the matrix.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// `None` is the kernel that runs now: the same suite in namespaces of its own, no machine.
    pub(super) kernel: Option<Kernel>,
    /// What the machine lacks on purpose.
    pub(super) host: Host,
    /// What is not possible there, and is warned of.
    pub(super) lacks: &'static [Feature],
    /// Whether every change is tried on it.
    pub(super) ci: bool,
    pub(super) reason: &'static str,
}

/// A kernel of Debian.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernel {
    pub(super) suite: Suite,
    pub(super) arch: Arch,
    pub(super) metapackage: &'static str,
}

const V5_10: Kernel =
    Kernel { suite: Suite::Bullseye, arch: Arch::X86_64, metapackage: "linux-image-cloud-amd64" };
const V6_1: Kernel =
    Kernel { suite: Suite::Bookworm, arch: Arch::X86_64, metapackage: "linux-image-cloud-amd64" };
const V6_12: Kernel =
    Kernel { suite: Suite::Bookworm, arch: Arch::X86_64, metapackage: "linux-image-6.12-cloud-amd64" };
const V6_1_ARM: Kernel =
    Kernel { suite: Suite::Bookworm, arch: Arch::Aarch64, metapackage: "linux-image-cloud-arm64" };
const V6_12_ARM: Kernel =
    Kernel { suite: Suite::Bookworm, arch: Arch::Aarch64, metapackage: "linux-image-6.12-cloud-arm64" };

pub(super) const ROWS: [Row; 7] = [
    Row {
        name: "5.10",
        kernel: Some(V5_10),
        host: Host::Full,
        lacks: &[Feature::Take],
        ci: true,
        reason: "the oldest that is supported, with cgroup v2",
    },
    Row {
        name: "6.1",
        kernel: Some(V6_1),
        host: Host::Full,
        lacks: &[],
        ci: true,
        reason: "the ECS-optimised Amazon Linux 2023 image",
    },
    Row {
        name: "6.12",
        kernel: Some(V6_12),
        host: Host::Full,
        lacks: &[],
        ci: false,
        reason: "later kernels of Amazon Linux 2023",
    },
    Row {
        name: "6.1-arm64",
        kernel: Some(V6_1_ARM),
        host: Host::Full,
        lacks: &[],
        ci: false,
        reason: "Graviton instances",
    },
    Row {
        name: "6.12-arm64",
        kernel: Some(V6_12_ARM),
        host: Host::Full,
        lacks: &[],
        ci: false,
        reason: "later kernels of Graviton instances",
    },
    Row {
        name: "5.10-cgroup-v1",
        kernel: Some(V5_10),
        host: Host::LegacyCgroups,
        lacks: &[Feature::InTask4, Feature::InTask6, Feature::Take],
        ci: false,
        reason: "Amazon Linux 2: containers in cgroup v1",
    },
    Row {
        name: "running",
        kernel: None,
        host: Host::Full,
        lacks: &[],
        ci: false,
        reason: "the kernel of the machine that wrote this, without emulation",
    },
];
