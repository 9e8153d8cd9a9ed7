//! What the servers and clients are made of: packages of PyPI and npm, and programs built from `tests/servers` and
//! `tests/clients`. Kept in cargo's target directory, made again when a source changes.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use httpfault_simulator::python::{Python, target_directory};

use crate::command::output;

const REQUIREMENTS: &str = include_str!("../../servers/python/requirements.txt");
const PACKAGE_JSON: &str = include_str!("../../clients/js/package.json");
const GO_SERVER: &str = include_str!("../../servers/go/server.go");
const JAVA: [&str; 2] =
    [include_str!("../../servers/java/Server.java"), include_str!("../../clients/java/Client.java")];

/// A file of the package, such as `servers/js/server.js`.
pub(crate) fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Python with the servers and clients of PyPI.
pub(crate) fn python() -> Result<Python> {
    Python::with("servers-python", REQUIREMENTS).context("servers and clients of PyPI")
}

/// The directory that holds `node_modules`, with undici.
pub(crate) fn node_modules() -> Result<PathBuf> {
    made("js", &[PACKAGE_JSON], |directory| {
        fs::write(directory.join("package.json"), PACKAGE_JSON)?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel", "error"]);
        output(npm.current_dir(directory)).map(drop).with_context(|| {
            format!(
                "installing these packages with npm failed; it needs npm and its registry:\n{PACKAGE_JSON}"
            )
        })
    })
}

/// The directory of the compiled server and client.
pub(crate) fn java_classes() -> Result<PathBuf> {
    made("java", &JAVA, |directory| {
        let mut javac = Command::new("javac");
        javac.arg("-d").arg(directory);
        javac.args(["servers/java/Server.java", "clients/java/Client.java"].map(source));
        output(&mut javac).map(drop).context("compiling the Java server and client; it needs a JDK")
    })
}

/// The compiled server.
pub(super) fn go_server() -> Result<PathBuf> {
    let directory = made("go", &[GO_SERVER], |directory| {
        let mut go = Command::new("go");
        go.args(["build", "-o"]).arg(directory.join("server")).arg(source("servers/go/server.go"));
        // Without a C library, so that it runs anywhere.
        output(go.env("CGO_ENABLED", "0")).map(drop).context("compiling the Go server; it needs Go")
    })?;
    Ok(directory.join("server"))
}

/// The directory of what `make` makes of these sources; made once, also by tests that run at the same time.
fn made(name: &str, sources: &[&str], make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    sources.hash(&mut hasher);
    let parent = target_directory().join("servers");
    let directory = parent.join(format!("{name}-{:016x}", hasher.finish()));
    fs::create_dir_all(&parent).with_context(|| format!("creating {}", parent.display()))?;
    let lock = parent.join(format!("{name}.lock"));
    let lock = File::create(&lock).with_context(|| format!("opening {}", lock.display()))?;
    lock.lock().with_context(|| format!("waiting for another process that makes {name}"))?;
    if !directory.exists() {
        let partial = tempfile::tempdir_in(&parent).context("creating a directory to build in")?;
        make(partial.path())?;
        fs::rename(partial.keep(), &directory)
            .with_context(|| format!("keeping what was made as {}", directory.display()))?;
    }
    Ok(directory)
}
