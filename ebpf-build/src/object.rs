//! The inner cargo that compiles and links the kernel programs.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{EXISTING, PACKAGE, TARGET, Toolchain};

/// Flags for the kernel programs alone. No debug information: it would be most of the object, which the agent
/// carries to every instance, and the programs do not need BTF, which old kernels lack.
const FLAGS: [&str; 1] = ["-Cdebuginfo=0"];
/// What cargo puts between two flags in `CARGO_ENCODED_RUSTFLAGS`.
const SEPARATOR: &str = "\x1f";
/// Cargo's settings of the user or the machine; these go on to the inner cargo, see [`leaks`].
const KEPT: [&str; 6] =
    ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "CARGO_TERM_"];

/// The linked kernel objects.
#[derive(Clone, Debug)]
pub struct Objects {
    /// The ELF file of the programs for new connections.
    pub new_connections: PathBuf,
    /// The ELF file of the programs for connections that exist already.
    pub existing_connections: PathBuf,
    /// What the compiler had to say, empty for a clean build.
    pub warnings: String,
}

/// The kernel programs did not build.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("could not start {} to build {PACKAGE}", .cargo.display())]
    Start { cargo: PathBuf, source: io::Error },
    #[error("{PACKAGE} does not compile or link with {toolchain}; the compiler says:\n{messages}")]
    Compile { toolchain: String, messages: String },
    #[error("building {PACKAGE} succeeded, but there is no object at {}", .0.display())]
    NoObject(PathBuf),
}

impl Toolchain {
    /// Builds the objects of the workspace in `root` in its own target directory below `out_dir`: an outer cargo
    /// holds the lock of the usual one.
    pub fn build(&self, root: &Path, out_dir: &Path) -> Result<Objects, BuildError> {
        let target_dir = out_dir.join("ebpf-target");
        let output = self
            .cargo_build(root, &target_dir)
            .output()
            .map_err(|source| BuildError::Start { cargo: self.cargo.clone(), source })?;
        let messages = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if !output.status.success() {
            return Err(BuildError::Compile { toolchain: self.to_string(), messages });
        }
        let linked = |name| {
            let path = target_dir.join(TARGET).join("release").join(name);
            if path.is_file() { Ok(path) } else { Err(BuildError::NoObject(path)) }
        };
        Ok(Objects {
            new_connections: linked(PACKAGE)?,
            existing_connections: linked(EXISTING)?,
            warnings: messages,
        })
    }

    fn cargo_build(&self, root: &Path, target_dir: &Path) -> Command {
        let mut command = Command::new(&self.cargo);
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(leaks) {
                command.env_remove(name);
            }
        }
        let linker = format!("-Clinker={}", self.linker.path.display());
        let flags: Vec<&str> = FLAGS.into_iter().chain([linker.as_str()]).collect();
        command
            .current_dir(root)
            .env("RUSTC", &self.rustc.path)
            // -Z on a stable compiler.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join(SEPARATOR))
            .args(["build", "--quiet", "--release", "-Z", "build-std=core"])
            .args(["--package", PACKAGE, "--bins", "--target", TARGET, "--target-dir"])
            .arg(target_dir);
        command
    }
}

/// Variables that describe the outer build and would change the inner one: its compiler, wrapper, flags, profile,
/// and what cargo tells a build script.
fn leaks(name: &str) -> bool {
    let cargo = name.starts_with("CARGO") && !KEPT.iter().any(|kept| name.starts_with(kept));
    cargo || name.starts_with("RUSTC") || name.starts_with("RUSTFLAGS") || name.starts_with("CLIPPY")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_build_does_not_leak_and_the_users_settings_stay() {
        for name in [
            "RUSTC",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_PROFILE_RELEASE_STRIP",
            "CARGO_CFG_TARGET_FEATURE",
            "CARGO_TARGET_DIR",
            "CLIPPY_ARGS",
        ] {
            assert!(leaks(name), "{name}");
        }
        for name in ["PATH", "HOME", "CARGO_HOME", "CARGO_NET_OFFLINE", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
            assert!(!leaks(name), "{name}");
        }
    }
}
