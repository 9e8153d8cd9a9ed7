//! Builds the kernel programs and puts them, relocated, where `datapath` includes them: `OUT_DIR/kernel_programs.rs`.

use std::{env, error::Error, fs, path::PathBuf, process::ExitCode};

use ebpf_build::Toolchain;

/// Name of the included source in OUT_DIR.
const SOURCE: &str = "kernel_programs.rs";
/// The constant that switches the programs' log on, and what it is then (`aya_log::LEVEL`, `aya_log::Level::Info`).
const LOG_LEVEL: (&str, &[u8]) = ("AYA_LOG_LEVEL", &[3]);
/// What the object is made of, relative to the workspace. The build library itself is a dependency of this script.
const SOURCES: [&str; 5] = [
    "httpfault-ebpf",
    "httpfault-common/Cargo.toml",
    "httpfault-common/src/lib.rs",
    "httpfault-common/src/abi.rs",
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

    let object = Toolchain::find()?.build(root, &out_dir)?;
    for line in object.warnings.lines() {
        println!("cargo::warning={line}");
    }
    let source = ebpf_build::image(&fs::read(&object.path)?, &[LOG_LEVEL])?;
    fs::write(out_dir.join(SOURCE), source)?;
    Ok(())
}
