//! One static program, the same bytes wherever and whenever it is built.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::{audit, graph::Graph, toolchain::Toolchain};
use crate::process;

/// The profile in the workspace's manifest.
const PROFILE: &str = "dist";
/// What cargo puts between two flags in `CARGO_ENCODED_RUSTFLAGS`.
const SEPARATOR: &str = "\x1f";
/// Rust's library is compiled with the programs, for size and without what symbolises backtraces: with the one that
/// comes with the compiler the agent is over its budget.
const LIBRARY: [&str; 4] = ["-Z", "build-std=std,panic_abort", "-Z", "build-std-features=optimize_for_size"];

/// Builds for one architecture.
#[derive(Debug)]
pub(super) struct Build<'a> {
    toolchain: &'a Toolchain,
    target_dir: PathBuf,
    /// With the names of functions, and with frame pointers: what a profiler needs.
    symbols: bool,
}

impl<'a> Build<'a> {
    pub(super) fn new(toolchain: &'a Toolchain, target_dir: &Path) -> Self {
        Self { toolchain, target_dir: target_dir.to_owned(), symbols: false }
    }

    /// The same for a profiler, in a directory beside the other's.
    pub(super) fn with_symbols(&self) -> Self {
        let mut target_dir = self.target_dir.clone().into_os_string();
        target_dir.push("-symbols");
        Self { toolchain: self.toolchain, target_dir: target_dir.into(), symbols: true }
    }

    /// Builds the program of a package, alone: other packages would add features to its dependencies.
    pub(super) fn program(&self, package: &str) -> Result<PathBuf> {
        let Toolchain { arch, rustc, linker, .. } = self.toolchain;
        let triple = arch.triple();
        let variable = triple.replace('-', "_");
        let mut cargo = process::cargo();
        cargo
            .args(["build", "--quiet", "--locked", "--package", package, "--bin", package])
            .args(LIBRARY)
            .args(["--profile", PROFILE, "--target", triple, "--target-dir"])
            .arg(&self.target_dir)
            // What lets a stable compiler build the library.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTC", &rustc.path)
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags()?.join(SEPARATOR))
            .env("SOURCE_DATE_EPOCH", source_date()?)
            .env(format!("CARGO_TARGET_{}_LINKER", variable.to_uppercase()), linker)
            .env(format!("CC_{variable}"), linker)
            .env("CFLAGS", format!("-ffile-prefix-map={}=/cargo", cargo_home()?.display()));
        if self.symbols {
            cargo.env(format!("CARGO_PROFILE_{}_STRIP", PROFILE.to_uppercase()), "none");
        }
        process::run(&mut cargo)?;
        let program = self.target_dir.join(triple).join(PROFILE).join(package);
        ensure!(program.is_file(), "cargo built {package}, but there is no {}", program.display());
        self.with_its_crates(package, &program)
    }

    /// A copy of the program that carries the list of its crates.
    fn with_its_crates(&self, package: &str, program: &Path) -> Result<PathBuf> {
        let Toolchain { arch, linker, .. } = self.toolchain;
        let objcopy = process::read(process::command(linker).arg("-print-prog-name=objcopy"))?;
        let directory = self.target_dir.join(arch.triple()).join("handed-out");
        fs::create_dir_all(&directory)?;
        let copy = directory.join(package);
        audit::embed(&Graph::of(*arch)?, package, program, &copy, objcopy.trim())?;
        Ok(copy)
    }

    /// Static, and without the paths of this machine.
    fn flags(&self) -> Result<Vec<String>> {
        // A panic aborts, so nothing unwinds.
        let mut flags =
            ["-Ctarget-feature=+crt-static", "-Cforce-unwind-tables=no"].map(str::to_owned).to_vec();
        for (from, to) in [
            (process::root().to_owned(), "/httpfault"),
            (cargo_home()?, "/cargo"),
            (self.target_dir.clone(), "/target"),
            (self.toolchain.rustc.sysroot.clone(), "/rust"),
        ] {
            flags.push(format!("--remap-path-prefix={}={to}", from.display()));
        }
        if self.symbols {
            flags.push("-Cforce-frame-pointers=yes".to_owned());
        }
        if let Some(sysroot) = &self.toolchain.sysroot {
            flags.extend(["--sysroot".to_owned(), sysroot.display().to_string()]);
        }
        Ok(flags)
    }
}

/// Where cargo keeps the sources of dependencies.
fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    Ok(env::home_dir().context("there is neither CARGO_HOME nor HOME")?.join(".cargo"))
}

/// Seconds since 1970 of the commit that is built: the only time in anything that is handed out.
pub(super) fn source_date() -> Result<String> {
    let git = ["log", "-1", "--format=%ct"];
    Ok(process::read(process::command("git").args(git))?.trim().to_owned())
}
