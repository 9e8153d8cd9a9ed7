//! The architectures.

use std::fmt;

use anyhow::{Result, bail, ensure};

use crate::{process, setup};

/// The C library comes with the linker's package by way of its recommendations only; its headers are for C code of
/// dependencies, programs are linked with musl.
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
            Self::X86_64 => "x86_64-unknown-linux-musl",
            Self::Aarch64 => "aarch64-unknown-linux-musl",
        }
    }

    /// Debian's name of it.
    pub(crate) fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// The C compiler, which also links. One that is missing is installed where that is possible, else the error says
    /// what to install.
    pub(super) fn linker(self) -> Result<&'static str> {
        if self == Self::NATIVE {
            return Ok("cc");
        }
        ensure!(self == Self::Aarch64, "{self} programs can only be built on an {self} machine");
        let (program, packages) = CROSS_LINKER;
        if process::find(program).is_none() && !setup::install(&packages)? {
            bail!("there is no {program}: install {}", packages.join(" and "));
        }
        Ok(program)
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
