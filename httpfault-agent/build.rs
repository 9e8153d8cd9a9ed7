//! Builds the kernel programs and puts the object where `datapath` embeds it: `OUT_DIR/httpfault.bpf.o`.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use ebpf_build::Toolchain;

/// Name of the embedded object in OUT_DIR.
const OBJECT: &str = "httpfault.bpf.o";
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
    embed(&object.path, &out_dir.join(OBJECT))
}

fn embed(object: &Path, embedded: &Path) -> Result<(), Box<dyn Error>> {
    fs::copy(object, embedded).map(drop).map_err(|error| {
        format!("could not copy {} to {}: {error}", object.display(), embedded.display()).into()
    })
}
