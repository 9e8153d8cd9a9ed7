//! Builds the kernel objects of httpfault. Used by the agent's build script, which embeds them, and by
//! `cargo xtask`, which installs what is missing and shows what is in them.
//!
//! The objects are for `bpfel-unknown-none`. No toolchain ships `core` for that target, so it is compiled from
//! source (`-Z build-std=core`), and `bpf-linker` links them. A toolchain that can do this is a rustc with the
//! library's source in its sysroot, and a bpf-linker whose LLVM is at least as new as that rustc's:
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let toolchain = ebpf_build::Toolchain::find()?;
//! let objects = toolchain.build("/repo".as_ref(), "/repo/target/ebpf".as_ref())?;
//! println!("{} made by {toolchain}", objects.new_connections.display());
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
pub use object::{BuildError, Objects};
pub use rustc::Rustc;
pub use toolchain::{Missing, Origin, Toolchain, compilers};

/// The package with the kernel programs, and its binary for new connections.
pub const PACKAGE: &str = "httpfault-ebpf";
/// The binary for connections that exist already.
pub const EXISTING: &str = "httpfault-ebpf-existing";
/// The Rust target of the object: little-endian BPF, the same file for x86-64 and arm64.
pub const TARGET: &str = "bpfel-unknown-none";
