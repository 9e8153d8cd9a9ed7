//! One compiler: its version, its LLVM, and whether `core`'s source came with it.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

/// A rustc that was asked about itself.
#[derive(Clone, Debug)]
pub struct Rustc {
    pub path: PathBuf,
    /// Root of its libraries; `-Z build-std` looks for the source below it.
    pub sysroot: PathBuf,
    /// As in `rustc 1.96.0`.
    pub release: String,
    /// Major version of its LLVM; a linker with an older one cannot read its bitcode.
    pub llvm: u32,
}

impl Rustc {
    /// Asks the program about itself. The path may be a name in PATH or one of rustup's proxies.
    pub(crate) fn ask(program: &Path) -> Result<Self, String> {
        let sysroot = PathBuf::from(run(program, &["--print", "sysroot"])?.trim());
        let version = run(program, &["--version", "--verbose"])?;
        // A proxy would choose the toolchain anew in the inner build; the compiler itself would not.
        let own = sysroot.join("bin/rustc");
        let path = if own.is_file() { own } else { program.to_owned() };
        Self::parse(path, sysroot, &version)
    }

    fn parse(path: PathBuf, sysroot: PathBuf, version: &str) -> Result<Self, String> {
        let field = |name: &str| version.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let unknown = |what: &str| format!("{} does not tell its {what}", path.display());
        let release = field("release:").ok_or_else(|| unknown("release"))?.to_owned();
        let llvm = field("LLVM version:")
            .and_then(|llvm| llvm.split('.').next())
            .and_then(|major| major.parse().ok())
            .ok_or_else(|| unknown("LLVM version"))?;
        Ok(Self { path, sysroot, release, llvm })
    }

    /// Whether it is new enough for this workspace and can compile `core`.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self { path, release, .. } = self;
        let needed = env!("CARGO_PKG_RUST_VERSION");
        if numbers(release) < numbers(needed) {
            return Err(format!("{} is rustc {release}, the workspace needs {needed}", path.display()));
        }
        if !self.core_source().is_file() {
            return Err(format!(
                "rustc {release} has no library source, which is the rustup component rust-src (no {})",
                self.core_source().display()
            ));
        }
        Ok(())
    }

    /// A file that is there exactly when the library's source is.
    fn core_source(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs")
    }
}

impl fmt::Display for Rustc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rustc {} at {}, LLVM {}", self.release, self.path.display(), self.llvm)
    }
}

/// Output of a command that has to succeed, or one sentence that says why it did not.
fn run(program: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(args)
        .output()
        .map_err(|error| format!("{} does not run: {error}", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().next().unwrap_or("no message");
        return Err(format!("{} {} failed: {said}", program.display(), args.join(" ")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `1.97.0-nightly` -> `[1, 97, 0]`, comparable.
fn numbers(version: &str) -> Vec<u32> {
    let plain = version.split('-').next().unwrap_or(version);
    plain.split('.').map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERBOSE: &str =
        "rustc 1.96.0 (ac68faa20 2026-05-25)\nbinary: rustc\nrelease: 1.96.0\nLLVM version: 22.1.8\n";

    #[test]
    fn reads_release_and_llvm_from_the_verbose_version() {
        let rustc = Rustc::parse("/r".into(), "/s".into(), VERBOSE).unwrap();
        assert_eq!((rustc.release.as_str(), rustc.llvm), ("1.96.0", 22));
        let error = Rustc::parse("/r".into(), "/s".into(), "release: 1.96.0\n").unwrap_err();
        assert!(error.contains("LLVM"), "{error}");
    }

    #[test]
    fn an_old_compiler_and_one_without_source_are_refused_with_the_reason() {
        let rustc = |release: &str| Rustc {
            path: "/r".into(),
            sysroot: "/nowhere".into(),
            release: release.to_owned(),
            llvm: 22,
        };
        let old = rustc("1.63.0").check().unwrap_err();
        assert!(old.contains("1.63.0") && old.contains("needs"), "{old}");
        let bare = rustc("1.999.0-nightly").check().unwrap_err();
        assert!(bare.contains("rust-src"), "{bare}");
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(numbers("1.100.0") > numbers("1.95"));
        assert!(numbers("1.95.0-nightly") >= numbers("1.95"));
    }
}
