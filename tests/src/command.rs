//! Runs commands and keeps all they said for the failure message.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
};

use anyhow::{Context, Result, bail};

/// What a command that ended said.
#[derive(Debug)]
pub struct Said {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `command` to its end, whatever its exit code.
pub fn said(command: &mut Command) -> Result<Said> {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().with_context(|| format!("running {command:?}"))?;
    Ok(Said {
        status,
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    })
}

/// Runs `command` and returns its standard output; an exit code other than 0 is an error with everything it said.
pub fn output(command: &mut Command) -> Result<String> {
    let said = said(command)?;
    if !said.status.success() {
        bail!("{command:?} ended with {}\nstdout: {}\nstderr: {}", said.status, said.stdout, said.stderr);
    }
    Ok(said.stdout)
}

/// A program that was built together with this one, such as `fixture-server`.
pub fn built(name: &str) -> Result<PathBuf> {
    let path = build_directory()?.join(name);
    if !path.exists() {
        bail!("{} does not exist; build it with: cargo build -p httpfault-tests --bins", path.display());
    }
    Ok(path)
}

/// `target/<profile>`: test executables are in its `deps`, programs in itself.
pub fn build_directory() -> Result<PathBuf> {
    let executable = std::env::current_exe().context("asking for the path of this executable")?;
    let directory = executable.parent().context("this executable has no directory")?;
    let parent_of_deps = directory.parent().filter(|_| directory.ends_with("deps"));
    Ok(parent_of_deps.unwrap_or(directory).to_owned())
}

/// Whether `program` is in PATH.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| Path::new(&directory).join(program).is_file())
}
