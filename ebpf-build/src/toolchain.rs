//! Which compiler and which linker: found, not configured.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    linker::{self, Linker},
    rustc::Rustc,
};

/// Where Debian's `rustc-web` and `rust-web-src` put their compiler.
const SYSTEM_RUSTC: &str = "/usr/bin/rustc";

/// A compiler and a linker that fit each other.
#[derive(Clone, Debug)]
pub struct Toolchain {
    pub origin: Origin,
    pub rustc: Rustc,
    /// The cargo that drives the build; it must understand the rustc, it need not be its sibling.
    pub cargo: PathBuf,
    pub linker: Linker,
}

/// How the compiler was found, in order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The compiler that builds the rest of the workspace.
    Active,
    /// rustup's `nightly`.
    Nightly,
    /// The distribution's compiler.
    System,
}

/// Nothing on this machine can build the kernel programs. The message has a line for each thing that was tried.
#[derive(Debug, thiserror::Error)]
#[error(
    "no toolchain on this machine can build the kernel programs:\n{}\nrun `cargo xtask setup`: it installs what is missing, or says what to install",
    .tried.iter().map(|line| format!("  - {line}")).collect::<Vec<_>>().join("\n")
)]
pub struct Missing {
    /// One plain sentence for each candidate and why it does not do.
    pub tried: Vec<String>,
}

impl Toolchain {
    /// The first of [`Origin`]'s compilers that has `core`'s source and a linker that fits.
    pub fn find() -> Result<Self, Missing> {
        let mut tried = Vec::new();
        let linkers = linker::installed();
        if linkers.is_empty() {
            tried.push("bpf-linker is neither in PATH nor in cargo's bin directory".to_owned());
        }
        for origin in Origin::ALL {
            match origin.rustc().and_then(|rustc| Ok((linker::fitting(&linkers, &rustc)?, rustc))) {
                Ok((Some(linker), rustc)) => {
                    return Ok(Self { origin, cargo: origin.cargo(&rustc), linker, rustc });
                }
                // This compiler would do; only the linker, already on the list, is missing.
                Ok((None, _)) => {}
                Err(why) => tried.push(format!("{origin}: {why}")),
            }
        }
        Err(Missing { tried })
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, rustc, linker, .. } = self;
        write!(f, "{rustc} ({origin}) and {linker}")
    }
}

/// Every compiler that could build the kernel programs if a linker fits it, in order of preference.
pub fn compilers() -> Vec<Rustc> {
    Origin::ALL.into_iter().filter_map(|origin| origin.rustc().ok()).collect()
}

impl Origin {
    const ALL: [Self; 3] = [Self::Active, Self::Nightly, Self::System];

    /// The compiler of this origin, or why it does not do.
    fn rustc(self) -> Result<Rustc, String> {
        let rustc = self.installed()?;
        rustc.check()?;
        Ok(rustc)
    }

    fn installed(self) -> Result<Rustc, String> {
        match self {
            // Cargo tells build scripts which rustc it uses; elsewhere it is the one in PATH.
            Self::Active => {
                Rustc::ask(&env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from))
            }
            Self::Nightly => Rustc::ask(&rustup_nightly()?),
            Self::System => {
                if !Path::new(SYSTEM_RUSTC).is_file() {
                    return Err(format!("there is no {SYSTEM_RUSTC}"));
                }
                Rustc::ask(Path::new(SYSTEM_RUSTC))
            }
        }
    }

    /// The cargo to drive `rustc`. A nightly brings its own; the system's may be years older than its rustc-web,
    /// so there it is the cargo that runs us.
    fn cargo(self, rustc: &Rustc) -> PathBuf {
        let sibling = rustc.path.with_file_name("cargo");
        match self {
            Self::Nightly if sibling.is_file() => sibling,
            Self::Active | Self::Nightly | Self::System => {
                env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
            }
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "the active toolchain",
            Self::Nightly => "rustup's nightly",
            Self::System => "the distribution's rustc",
        })
    }
}

/// Path of nightly's rustc. `rustup which` never downloads.
fn rustup_nightly() -> Result<PathBuf, String> {
    let output = Command::new("rustup")
        .args(["which", "--toolchain", "nightly", "rustc"])
        .output()
        .map_err(|error| format!("rustup does not run: {error}"))?;
    if !output.status.success() {
        return Err("not installed".to_owned());
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}
