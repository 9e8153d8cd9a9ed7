//! Builds the kernel programs and puts them, relocated, where `datapath` includes them: as Rust source in OUT_DIR.

use std::{env, error::Error, fs, path::PathBuf, process::ExitCode};

use ebpf_build::Toolchain;

/// Names of the included sources in OUT_DIR.
const NEW_CONNECTIONS: &str = "new_connections.rs";
const EXISTING_CONNECTIONS: &str = "existing_connections.rs";
/// The constant that switches the programs' log on (`aya_log::LEVEL`): off, and as far as `aya_log::Level::Info`. In the
/// object it is on. What is off is left out by the verifier; with it the stack is too deep for Linux 6.1.
const LOG_LEVEL: (&str, [&[u8]; 2]) = ("AYA_LOG_LEVEL", [&[0], &[3]]);
/// What the objects are made of, relative to the workspace. The build library itself is a dependency of this script.
const SOURCES: [&str; 6] = [
    "httpfault-ebpf",
    "httpfault-common/Cargo.toml",
    "httpfault-common/src/lib.rs",
    "httpfault-common/src/abi.rs",
    "httpfault-common/src/abi",
    "Cargo.lock",
];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut cause: Option<&dyn Error> = Some(&*error);
            while let Some(error) = cause {
                for line in error.to_string().lines() {
                    println!("cargo::error={line}");
                }
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo did not set OUT_DIR")?);
    let package =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo did not set CARGO_MANIFEST_DIR")?);
    let root = package.parent().ok_or("the agent's package is not inside a workspace")?;
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }

    let objects = Toolchain::find()?.build(root, &out_dir)?;
    for line in objects.warnings.lines() {
        println!("cargo::warning={line}");
    }
    let new_connections = ebpf_build::image(&fs::read(&objects.new_connections)?, &[LOG_LEVEL])?;
    fs::write(out_dir.join(NEW_CONNECTIONS), new_connections)?;
    // These log nothing.
    let existing_connections = ebpf_build::image(&fs::read(&objects.existing_connections)?, &[])?;
    fs::write(out_dir.join(EXISTING_CONNECTIONS), existing_connections)?;
    Ok(())
}
