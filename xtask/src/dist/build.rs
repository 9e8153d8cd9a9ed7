//! One static program, the same bytes wherever and whenever it is built.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::arch::{Toolchain, cargo_home};
use crate::process;

/// What cargo puts between two flags in `CARGO_ENCODED_RUSTFLAGS`.
const SEPARATOR: &str = "\x1f";

/// How programs are built.
#[derive(Debug)]
pub(super) struct Build<'a> {
    toolchain: &'a Toolchain,
    profile: &'static str,
    target_dir: PathBuf,
}

impl<'a> Build<'a> {
    /// As they are handed out.
    pub(super) fn release(toolchain: &'a Toolchain, target_dir: &Path) -> Self {
        Self { toolchain, profile: "dist", target_dir: target_dir.to_owned() }
    }

    /// For a tool that is run once.
    pub(super) fn quick(toolchain: &'a Toolchain, target_dir: &Path) -> Self {
        Self { toolchain, profile: "dev", target_dir: target_dir.to_owned() }
    }

    /// Builds the program of a package, alone: other packages would add features to its dependencies.
    pub(super) fn program(&self, package: &str) -> Result<PathBuf> {
        let Toolchain { arch, rustc, linker, .. } = self.toolchain;
        let triple = arch.triple();
        let mut cargo = process::cargo();
        cargo
            .args(["build", "--quiet", "--locked", "--package", package, "--bin", package])
            .args(["--profile", self.profile, "--target", triple, "--target-dir"])
            .arg(&self.target_dir)
            .env("RUSTC", rustc)
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags()?.join(SEPARATOR))
            .env("SOURCE_DATE_EPOCH", source_date()?)
            .env("CFLAGS", format!("-ffile-prefix-map={}=/cargo", cargo_home()?.display()))
            .env("CARGO_PROFILE_DEV_STRIP", "true");
        if let Some(linker) = linker {
            let variable = triple.replace('-', "_").to_uppercase();
            cargo.env(format!("CARGO_TARGET_{variable}_LINKER"), linker);
        }
        process::run(&mut cargo)?;
        let directory = if self.profile == "dev" { "debug" } else { self.profile };
        let program = self.target_dir.join(triple).join(directory).join(package);
        ensure!(program.is_file(), "cargo built {package}, but there is no {}", program.display());
        Ok(program)
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
        ] {
            flags.push(format!("--remap-path-prefix={}={to}", from.display()));
        }
        if let Some(sysroot) = &self.toolchain.sysroot {
            flags.extend(["--sysroot".to_owned(), sysroot.display().to_string()]);
        }
        Ok(flags)
    }
}

/// Seconds since 1970 of the commit that is built: the only time in anything that is handed out.
pub(super) fn source_date() -> Result<String> {
    let git = ["log", "-1", "--format=%ct"];
    Ok(process::read(process::command("git").args(git))?.trim().to_owned())
}
