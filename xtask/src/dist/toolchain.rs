//! What builds static programs: the compiler of the kernel programs, which has the source of Rust's library, and musl.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use ebpf_build::Rustc;

use super::Arch;
use crate::{
    debian::{Archive, Suite},
    process,
};

/// What musl consists of when programs are linked with it, and Debian's package.
const MUSL: [&str; 5] = ["crt1.o", "rcrt1.o", "crti.o", "crtn.o", "libc.a"];
const MUSL_PACKAGE: &str = "musl-dev";
/// What comes with the C compiler: its name there, and what rustc calls it.
const COMPILER_PARTS: [(&str, &str); 5] = [
    ("crtbegin.o", "crtbegin.o"),
    ("crtbeginS.o", "crtbeginS.o"),
    ("crtend.o", "crtend.o"),
    ("crtendS.o", "crtendS.o"),
    ("libgcc_eh.a", "libunwind.a"),
];

/// The C compiler's unwinder asks glibc (2.35 and later) where code is, and gives up where the answer is -1. musl has
/// no such function, and nothing here unwinds.
const NOT_IN_MUSL: &str = "int _dl_find_object(void *pc, void *result) { return -1; }\n";

/// What builds for one architecture.
#[derive(Clone, Debug)]
pub(super) struct Toolchain {
    pub(super) arch: Arch,
    pub(super) rustc: Rustc,
    pub(super) linker: &'static str,
    /// Where musl is, if it is not with the compiler.
    pub(super) sysroot: Option<PathBuf>,
}

impl Toolchain {
    /// What is missing is fetched where that is possible, else the error says what to install. `cache` is where
    /// packages are unpacked.
    pub(super) fn find(arch: Arch, cache: &Path) -> Result<Self> {
        let rustc = ebpf_build::Toolchain::find()?.rustc;
        let linker = arch.linker()?;
        let beside = rustc.sysroot.join(parts(arch));
        let sysroot = if beside.is_dir() || add_with_rustup(&rustc, arch) {
            None
        } else {
            let made = sysroot(&rustc, arch, linker, cache);
            Some(made.with_context(|| {
                format!("no musl for {arch}: neither `rustup target add {0}` nor Debian's package {MUSL_PACKAGE} works here", arch.triple())
            })?)
        };
        Ok(Self { arch, rustc, linker, sysroot })
    }

    /// As in `rustc 1.95.0 (59807616e 2026-04-14)`.
    pub(super) fn version(&self) -> Result<String> {
        Ok(process::read(process::command(&self.rustc.path).arg("--version"))?.trim().to_owned())
    }
}

/// Below a system root, where rustc looks for the parts of musl.
fn parts(arch: Arch) -> PathBuf {
    Path::new("lib/rustlib").join(arch.triple()).join("lib/self-contained")
}

/// Whether rustup could add musl to this compiler. Where it cannot download, it fails at once.
fn add_with_rustup(rustc: &Rustc, arch: Arch) -> bool {
    let home = rustc.sysroot.parent().and_then(Path::file_name);
    let (Some(toolchain), true) = (rustc.sysroot.file_name(), home.is_some_and(|home| home == "toolchains"))
    else {
        return false;
    };
    let mut rustup = process::command("rustup");
    rustup.args(["target", "add", arch.triple(), "--toolchain"]).arg(toolchain);
    // So that a machine without a way out does not wait for one.
    match process::run(rustup.env("RUSTUP_MAX_RETRIES", "0")) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("{error:#}; going on with Debian's musl");
            false
        }
    }
}

/// A system root with Debian's musl, which is unpacked, not installed, and the compiler's own library source.
fn sysroot(rustc: &Rustc, arch: Arch, linker: &str, cache: &Path) -> Result<PathBuf> {
    let archive = Archive::open(&cache.join("debian"), Suite::Bookworm, arch.debian())?;
    let musl = archive.unpacked(MUSL_PACKAGE)?.join("usr/lib").join(format!("{arch}-linux-musl"));

    let sysroot = cache.join(format!("sysroot-{arch}"));
    let parts = sysroot.join(parts(arch));
    if sysroot.exists() {
        fs::remove_dir_all(&sysroot).with_context(|| format!("emptying {}", sysroot.display()))?;
    }
    fs::create_dir_all(&parts)?;
    symlink(rustc.sysroot.join("lib/rustlib/src"), sysroot.join("lib/rustlib/src"))?;
    for part in MUSL {
        fs::copy(musl.join(part), parts.join(part))
            .with_context(|| format!("{MUSL_PACKAGE} has no {part}"))?;
    }
    let ask = |what: String| process::read(process::command(linker).arg(what));
    for (part, name) in COMPILER_PARTS {
        let file = PathBuf::from(ask(format!("-print-file-name={part}"))?.trim());
        ensure!(file.is_absolute(), "{linker} has no {part}");
        fs::copy(&file, parts.join(name)).with_context(|| format!("copying {}", file.display()))?;
    }
    let (source, object) = (sysroot.join("unwind.c"), sysroot.join("unwind.o"));
    fs::write(&source, NOT_IN_MUSL)?;
    process::run(process::command(linker).arg("-c").arg(&source).arg("-o").arg(&object))?;
    let archiver = ask("-print-prog-name=ar".to_owned())?;
    let mut add = process::command(archiver.trim());
    process::run(add.arg("r").arg(parts.join("libunwind.a")).arg(&object))?;
    Ok(sysroot)
}
