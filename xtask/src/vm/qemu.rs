//! The emulator: found or installed, and its command line for each architecture.

use std::{path::Path, process::Command};

use anyhow::{Result, bail};

use super::{finding::Host, rows::Kernel};
use crate::{dist::Arch, process, setup};

/// Enough for the agent's maps and connections.
const MEMORY: &str = "512M";
/// Enough for servers and their clients as well, and for their files, which live in memory, twice while they are unpacked.
const MEMORY_WITH_FILES: &str = "4G";
/// The least on which two sides of a connection run at once.
const CPUS: &str = "2";

/// Makes sure that the emulators of these kernels are there.
pub(super) fn ensure(kernels: impl Iterator<Item = Kernel>) -> Result<()> {
    for kernel in kernels {
        let (program, package) = emulator(kernel.arch);
        if process::find(program).is_none() && !setup::install(&[package])? {
            bail!(
                "there is no {program}: install {package}, or run this command as root on Debian or Ubuntu"
            );
        }
    }
    Ok(())
}

/// A machine that ends when its kernel powers off or panics, its serial line on standard output. Init runs that
/// program with its arguments instead of its suite, if there is one.
pub(super) fn machine(arch: Arch, host: Host, kernel: &Path, initrd: &Path, run: &[String]) -> Command {
    let (program, _package) = emulator(arch);
    let mut command = process::command(program);
    let (console, board) = match arch {
        Arch::X86_64 => ("ttyS0", ["-machine", "pc", "-cpu", "max"]),
        Arch::Aarch64 => ("ttyAMA0", ["-machine", "virt", "-cpu", "cortex-a72"]),
    };
    let memory = if run.is_empty() { MEMORY } else { MEMORY_WITH_FILES };
    let init = [&["boot".to_owned(), "--host".to_owned(), host.to_string()], run].concat().join(" ");
    command
        .args(board)
        // Emulation, also where there is a /dev/kvm: inside another virtual machine that may hang.
        .args(["-accel", "tcg"])
        .args(["-smp", CPUS, "-m", memory])
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initrd)
        // What follows the two hyphens goes to init.
        .args([
            "-append",
            &format!("console={console} quiet no_timer_check panic=-1 rdinit=/init -- {init}"),
        ]);
    command
}

fn emulator(arch: Arch) -> (&'static str, &'static str) {
    match arch {
        Arch::X86_64 => ("qemu-system-x86_64", "qemu-system-x86"),
        Arch::Aarch64 => ("qemu-system-aarch64", "qemu-system-arm"),
    }
}
