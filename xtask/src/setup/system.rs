//! What this machine lets us install, and what to say where it does not.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, Result};

use super::{
    needs::Need,
    toolchain::{BPF_LINKER, DEBIAN_COMPILER, linker_packages},
};
use crate::process;

/// How packages get onto this machine.
#[derive(Debug)]
pub(super) enum System {
    /// Debian or Ubuntu, and we are root.
    Apt(Apt),
    /// Everything else: we say what to install.
    Other,
}

/// apt-get; its package lists are brought up to date once.
#[derive(Debug, Default)]
pub(super) struct Apt {
    updated: AtomicBool,
}

impl System {
    pub(super) fn detect() -> Self {
        if process::find("apt-get").is_some() && rustix::process::geteuid().is_root() {
            Self::Apt(Apt::default())
        } else {
            Self::Other
        }
    }
}

impl Apt {
    pub(super) fn install(&self, packages: &[&str]) -> Result<()> {
        if !self.updated.swap(true, Ordering::Relaxed) {
            process::run(apt_get().args(["update", "--quiet"]))
                .context("bringing the package lists up to date")?;
        }
        if packages.is_empty() {
            return Ok(());
        }
        let install = ["install", "--yes", "--quiet", "--no-install-recommends"];
        process::run(apt_get().args(install).args(packages))
    }
}

fn apt_get() -> std::process::Command {
    let mut command = process::command("apt-get");
    // Neither questions nor progress bars.
    command.env("DEBIAN_FRONTEND", "noninteractive").args([
        "-o",
        "Dpkg::Use-Pty=0",
        "-o",
        "Acquire::Retries=5",
    ]);
    command
}

/// Whether `apt-get download` knows any package; a fresh container has no lists.
pub(super) fn has_package_lists() -> bool {
    let lists = Path::new("/var/lib/apt/lists");
    let Ok(entries) = fs::read_dir(lists) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
}

/// What a person has to type, on either family of distributions.
pub(super) fn instructions(missing: &[&Need], has_toolchain: bool) -> String {
    let mut lines =
        vec!["install what is missing, or run this command as root on Debian or Ubuntu".to_owned()];
    let programs: Vec<&str> = missing.iter().map(|need| need.program).collect();
    if !programs.is_empty() {
        lines.push(format!("missing programs: {}", programs.join(", ")));
    }

    let mut apt: Vec<&str> = missing.iter().flat_map(|need| need.apt).copied().collect();
    let mut dnf: Vec<&str> = missing.iter().filter_map(|need| need.dnf).collect();
    apt.dedup();
    dnf.dedup();
    if !apt.is_empty() {
        lines.push(format!("Debian, Ubuntu: sudo apt-get install --no-install-recommends {}", apt.join(" ")));
        lines.push(format!("Fedora, Amazon Linux 2023: sudo dnf install {}", dnf.join(" ")));
    }
    if !has_toolchain {
        lines.push(format!(
            "kernel programs, with rustup: rustup component add rust-src, and a {BPF_LINKER} from \
             https://github.com/aya-rs/bpf-linker/releases in PATH (its LLVM not older than that of rustc -vV)"
        ));
        // The compiler of bookworm's rustc-web has LLVM 22.
        lines.push(format!(
            "kernel programs, with Debian's packages: sudo apt-get install --no-install-recommends {} {}, \
             then cargo xtask setup once more",
            DEBIAN_COMPILER.join(" "),
            linker_packages(22).join(" ")
        ));
    }
    lines.join("\n  ")
}
