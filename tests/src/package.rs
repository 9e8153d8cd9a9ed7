//! Programs that would start as services if they were installed: taken from their Debian packages, which are unpacked
//! in the build directory and kept for the next time.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::command::{build_directory, installed, output};

/// HAProxy's package and those of the libraries that few machines have.
const HAPROXY: [&str; 4] = ["haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"];

/// nginx as installed, or from its package.
pub fn nginx() -> Result<PathBuf> {
    if installed("nginx") {
        return Ok("/usr/sbin/nginx".into());
    }
    Ok(unpacked("nginx", &["nginx"])?.join("usr/sbin/nginx"))
}

/// HAProxy and the directory of its libraries, if it has one of its own.
pub fn haproxy() -> Result<(PathBuf, Option<PathBuf>)> {
    if installed("haproxy") {
        return Ok(("/usr/sbin/haproxy".into(), None));
    }
    let files = unpacked("haproxy", &HAPROXY)?;
    let libraries = fs::read_dir(files.join("usr/lib")).context("looking for HAProxy's libraries")?;
    // One directory for each architecture, and this is the machine's own package.
    let libraries = libraries.flatten().map(|entry| entry.path());
    let libraries = libraries.into_iter().find(|path| path.to_string_lossy().ends_with("-linux-gnu"));
    Ok((files.join("usr/sbin/haproxy"), libraries))
}

/// Docker's registry.
pub fn registry() -> Result<PathBuf> {
    if installed("docker-registry") {
        return Ok("/usr/bin/docker-registry".into());
    }
    Ok(unpacked("docker-registry", &["docker-registry"])?.join("usr/bin/docker-registry"))
}

/// The directory that holds the files of these packages.
fn unpacked(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let files = build_directory()?.join(format!("httpfault-tests-{name}"));
    let complete = files.join("complete");
    if !complete.exists() {
        fs::create_dir_all(&files).with_context(|| format!("creating {}", files.display()))?;
        fetch(&files, packages).with_context(|| {
            format!(
                "{name} is needed: apt-get update && apt-get install {name}, or a machine with Debian packages"
            )
        })?;
        fs::write(&complete, "").with_context(|| format!("writing {}", complete.display()))?;
    }
    Ok(files)
}

fn fetch(files: &Path, packages: &[&str]) -> Result<()> {
    output(Command::new("apt-get").arg("download").args(packages).current_dir(files))?;
    for entry in fs::read_dir(files)?.flatten() {
        if entry.path().extension() == Some(OsStr::new("deb")) {
            output(Command::new("dpkg").arg("-x").arg(entry.path()).arg(files))?;
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
