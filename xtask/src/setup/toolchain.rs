//! A compiler with `core`'s source, and the bpf-linker that fits it.

use anyhow::{Context, Result, bail};
use ebpf_build::{Rustc, Toolchain};

use super::system::Apt;
use crate::process;

pub(super) const BPF_LINKER: &str = "bpf-linker";
/// Supports LLVM 21 to 23, one at a time.
const BPF_LINKER_VERSION: &str = "0.13.0";
/// A recent compiler and its library's source. rustup's stays first in PATH.
pub(super) const DEBIAN_COMPILER: [&str; 2] = ["rustc-web", "rust-web-src"];

/// Installs what the first compiler that can be completed lacks: those that are there, then Debian's.
pub(super) fn install(apt: &Apt) -> Result<Toolchain> {
    let mut compilers = ebpf_build::compilers();
    if compilers.is_empty() && add_source_with_rustup() {
        compilers = ebpf_build::compilers();
    }
    for rustc in &compilers {
        match install_linker(apt, rustc) {
            Ok(()) => return Ok(Toolchain::find()?),
            Err(error) => eprintln!("no {BPF_LINKER} for {rustc}: {error:#}"),
        }
    }

    apt.install(&DEBIAN_COMPILER)?;
    // What find() says now is about the linker alone, or the reason why even this compiler does not do.
    if let Ok(toolchain) = Toolchain::find() {
        return Ok(toolchain);
    }
    let Some(rustc) = ebpf_build::compilers().into_iter().find(|rustc| rustc.path.starts_with("/usr/bin"))
    else {
        bail!("{} are installed, but: {}", DEBIAN_COMPILER.join(" and "), find_error());
    };
    install_linker(apt, &rustc)?;
    Ok(Toolchain::find()?)
}

/// Whether rustup could add the source to the active toolchain. Where rustup cannot download, it fails at once.
fn add_source_with_rustup() -> bool {
    if process::find("rustup").is_none() {
        return false;
    }
    match process::run(process::command("rustup").args(["component", "add", "rust-src"])) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("{error:#}; going on with the distribution's compiler");
            false
        }
    }
}

/// Compiles bpf-linker against the LLVM of `rustc`, which takes about a minute.
fn install_linker(apt: &Apt, rustc: &Rustc) -> Result<()> {
    let llvm = rustc.llvm;
    let packages = linker_packages(llvm);
    apt.install(&packages.iter().map(String::as_str).collect::<Vec<_>>())?;
    let prefix = format!("/usr/lib/llvm-{llvm}");
    let mut cargo = process::cargo();
    cargo
        .args(["install", BPF_LINKER, "--version", BPF_LINKER_VERSION, "--locked", "--force"])
        .args(["--no-default-features", "--features", &format!("llvm-{llvm}")])
        // Its release profile keeps debug information, which takes longer than the rest.
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        // The first for bpf-linker's own build script, the second for llvm-sys: they look in different places.
        .env("LLVM_PREFIX", &prefix)
        .env(format!("LLVM_SYS_{llvm}1_PREFIX"), &prefix);
    process::run(&mut cargo).with_context(|| format!("compiling {BPF_LINKER} with LLVM {llvm}"))
}

/// What compiling bpf-linker needs besides a C compiler.
pub(super) fn linker_packages(llvm: u32) -> [String; 3] {
    [format!("llvm-{llvm}-dev"), format!("libpolly-{llvm}-dev"), "libzstd-dev".to_owned()]
}

fn find_error() -> String {
    Toolchain::find().map_or_else(|error| error.to_string(), |toolchain| toolchain.to_string())
}
