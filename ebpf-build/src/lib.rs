//! Builds the kernel object of httpfault. Used by the agent's build script, which embeds the object, and by
//! `cargo xtask`, which installs what is missing and shows what is in it.
//!
//! The object is for `bpfel-unknown-none`. No toolchain ships `core` for that target, so it is compiled from
//! source (`-Z build-std=core`), and `bpf-linker` links it. A toolchain that can do this is a rustc with the
//! library's source in its sysroot, and a bpf-linker whose LLVM is at least as new as that rustc's:
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let toolchain = ebpf_build::Toolchain::find()?;
//! let object = toolchain.build("/repo".as_ref(), "/repo/target/ebpf".as_ref())?;
//! println!("{} made by {toolchain}", object.path.display());
//! # Ok(())
//! # }
//! ```

mod image;
mod linker;
mod object;
mod rustc;
mod toolchain;

pub use image::{ImageError, image};
pub use linker::Linker;
pub use object::{BuildError, Object};
pub use rustc::Rustc;
pub use toolchain::{Missing, Origin, Toolchain, compilers};

/// The package and the binary with the kernel programs.
pub const PACKAGE: &str = "httpfault-ebpf";
/// The Rust target of the object: little-endian BPF, the same file for x86-64 and arm64.
pub const TARGET: &str = "bpfel-unknown-none";
