//! The architectures, and the toolchain that builds static programs for each.

use std::{
    env, fmt, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    debian::{Archive, Suite},
    process, setup,
};

/// Compiler and cross library of Debian: one package carries the library for one architecture.
const SYSTEM_RUSTC: &str = "/usr/bin/rustc";
const LIBRARY: &str = "libstd-rust-web-dev";
/// The C library comes with the linker's package by way of its recommendations only.
const CROSS_LINKER: (&str, [&str; 2]) =
    ("aarch64-linux-gnu-gcc", ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"]);

/// What container instances run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Arch {
    #[value(name = "x86_64")]
    X86_64,
    Aarch64,
}

impl Arch {
    pub(crate) const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];
    /// Of this machine.
    pub(crate) const NATIVE: Self = if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 };

    pub(super) fn triple(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// The compiler and linker for it. What is missing is installed where that is possible, else the error says what
    /// to install. `cache` is where packages are unpacked.
    pub(super) fn toolchain(self, cache: &Path) -> Result<Toolchain> {
        let linker = self.linker()?;
        let active = PathBuf::from("rustc");
        if has_library(&active, self)? || add_with_rustup(self) {
            return Ok(Toolchain { arch: self, rustc: active, sysroot: None, linker });
        }
        let sysroot = sysroot(self, cache).with_context(|| {
            format!(
                "no standard library for {0}: neither `rustup target add {0}` nor Debian's packages work here",
                self.triple()
            )
        })?;
        Ok(Toolchain { arch: self, rustc: SYSTEM_RUSTC.into(), sysroot: Some(sysroot), linker })
    }

    /// `None`: the machine's own.
    fn linker(self) -> Result<Option<&'static str>> {
        if self == Self::NATIVE {
            return Ok(None);
        }
        ensure!(self == Self::Aarch64, "{self} programs can only be built on an {self} machine");
        let (program, packages) = CROSS_LINKER;
        if process::find(program).is_none() && !setup::install(&packages)? {
            bail!("there is no {program}: install {}", packages.join(" and "));
        }
        Ok(Some(program))
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        })
    }
}

/// What builds for one architecture.
#[derive(Clone, Debug)]
pub(super) struct Toolchain {
    pub(super) arch: Arch,
    pub(super) rustc: PathBuf,
    /// Where the standard library is, if it is not with the compiler.
    pub(super) sysroot: Option<PathBuf>,
    pub(super) linker: Option<&'static str>,
}

impl Toolchain {
    /// As in `rustc 1.95.0 (59807616e 2026-04-14)`.
    pub(super) fn version(&self) -> Result<String> {
        Ok(process::read(process::command(&self.rustc).arg("--version"))?.trim().to_owned())
    }
}

fn has_library(rustc: &Path, arch: Arch) -> Result<bool> {
    let sysroot = process::read(process::command(rustc).args(["--print", "sysroot"]))?;
    Ok(Path::new(sysroot.trim()).join("lib/rustlib").join(arch.triple()).is_dir())
}

/// Whether rustup could add the library to the active toolchain. Where it cannot download, it fails at once.
fn add_with_rustup(arch: Arch) -> bool {
    if process::find("rustup").is_none() {
        return false;
    }
    // So that a machine without a way out does not wait for one.
    let mut rustup = process::command("rustup");
    rustup.args(["target", "add", arch.triple()]).env("RUSTUP_MAX_RETRIES", "0");
    match process::run(&mut rustup) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("{error:#}; going on with the distribution's compiler");
            false
        }
    }
}

/// A system root with the distribution's library for `arch`: unpacked, not installed. Programs that run during the
/// build are compiled with the compiler's own.
fn sysroot(arch: Arch, cache: &Path) -> Result<PathBuf> {
    if !Path::new(SYSTEM_RUSTC).is_file() && !setup::install(&["rustc-web"])? {
        bail!("there is no {SYSTEM_RUSTC}: install rustc-web");
    }
    let debian = match arch {
        Arch::X86_64 => "amd64",
        Arch::Aarch64 => "arm64",
    };
    // The library has to be of the very version of the compiler.
    let query = ["--show", "--showformat", "${Version}", "rustc-web"];
    let version = process::read(process::command("dpkg-query").args(query))?;
    let archive = Archive::open(&cache.join("debian"), Suite::Bookworm, debian)?;
    let files = archive.unpacked(&format!("{LIBRARY}={version}"))?;
    let library = files.join("usr/lib/rustlib").join(arch.triple());
    ensure!(library.is_dir(), "{LIBRARY} {version} has no library for {}", arch.triple());

    let sysroot = cache.join(format!("sysroot-{arch}"));
    let place = sysroot.join("lib/rustlib").join(arch.triple());
    if !place.exists() {
        fs::create_dir_all(sysroot.join("lib/rustlib"))?;
        symlink(&library, &place).with_context(|| format!("linking {}", place.display()))?;
    }
    Ok(sysroot)
}

/// Where cargo keeps the sources of dependencies.
pub(super) fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    Ok(env::home_dir().context("there is neither CARGO_HOME nor HOME")?.join(".cargo"))
}
