//! bpf-linker: where it is, and which LLVM it brings.

use std::{
    env, fmt,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use crate::rustc::Rustc;

const NAME: &str = "bpf-linker";
/// Names of libraries are in the first segment of a program; a linker with LLVM inside has 100 MB more.
const HEAD_BYTES: u64 = 256 * 1024;

/// An installed bpf-linker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linker {
    pub path: PathBuf,
    /// Major version of the LLVM library it loads; unknown where LLVM is linked in statically.
    pub llvm: Option<u32>,
}

impl fmt::Display for Linker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAME} at {}", self.path.display())?;
        self.llvm.map_or(Ok(()), |llvm| write!(f, ", LLVM {llvm}"))
    }
}

/// Every bpf-linker in PATH, then the one in cargo's bin directory.
pub(crate) fn installed() -> Vec<Linker> {
    let path = env::var_os("PATH").unwrap_or_default();
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let mut found: Vec<Linker> = Vec::new();
    for directory in env::split_paths(&path).chain(cargo_home.map(|home| home.join("bin"))) {
        let candidate = directory.join(NAME);
        if candidate.is_file() && found.iter().all(|known| known.path != candidate) {
            let llvm = llvm_of(&candidate);
            found.push(Linker { path: candidate, llvm });
        }
    }
    found
}

/// The first linker that can read what `rustc` writes; `None` where none is installed at all.
pub(crate) fn fitting(linkers: &[Linker], rustc: &Rustc) -> Result<Option<Linker>, String> {
    // LLVM reads the bitcode of older versions, never of newer ones. An unknown version gets its chance: the
    // linker itself says so when it meets bitcode that it cannot read.
    let fits = |linker: &&Linker| linker.llvm.is_none_or(|llvm| llvm >= rustc.llvm);
    match linkers.iter().find(fits) {
        Some(linker) => Ok(Some(linker.clone())),
        None if linkers.is_empty() => Ok(None),
        None => {
            let listed: Vec<String> = linkers.iter().map(ToString::to_string).collect();
            Err(format!(
                "{rustc} needs a {NAME} with LLVM {} or newer, not {}",
                rustc.llvm,
                listed.join(", ")
            ))
        }
    }
}

/// The LLVM that the program names as its shared library, `libLLVM.so.22.1` or `libLLVM-19.so.1`.
fn llvm_of(program: &Path) -> Option<u32> {
    // bpf-linker does not tell its LLVM; the name of the library is a string in the file.
    let mut bytes = Vec::new();
    File::open(program).ok()?.take(HEAD_BYTES).read_to_end(&mut bytes).ok()?;
    let prefix: &[u8] = b"libLLVM";
    bytes.windows(prefix.len()).enumerate().filter(|(_, window)| *window == prefix).find_map(|(at, _)| {
        let rest = &bytes[at + prefix.len()..];
        let digits = rest.strip_prefix(b".so.").or_else(|| rest.strip_prefix(b"-"))?;
        let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
        std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rustc(llvm: u32) -> Rustc {
        Rustc { path: "/r".into(), sysroot: "/s".into(), release: "1.96.0".to_owned(), llvm }
    }

    fn linker(path: &str, llvm: Option<u32>) -> Linker {
        Linker { path: path.into(), llvm }
    }

    #[test]
    fn takes_the_first_linker_that_is_new_enough() {
        let linkers = [linker("/old", Some(21)), linker("/new", Some(23)), linker("/same", Some(22))];
        assert_eq!(fitting(&linkers, &rustc(22)).unwrap(), Some(linkers[1].clone()));
    }

    #[test]
    fn an_unknown_llvm_gets_its_chance_and_an_older_one_does_not() {
        let unknown = [linker("/unknown", None)];
        assert_eq!(fitting(&unknown, &rustc(22)).unwrap(), Some(unknown[0].clone()));
        let error = fitting(&[linker("/old", Some(21))], &rustc(22)).unwrap_err();
        assert!(error.contains("/old") && error.contains("LLVM 22"), "{error}");
        assert_eq!(fitting(&[], &rustc(22)).unwrap(), None);
    }

    #[test]
    fn reads_the_llvm_from_the_name_of_the_library() {
        let file = env::temp_dir().join(format!("ebpf-build-linker-{}", std::process::id()));
        for (content, llvm) in [
            (&b"\x7fELF libLLVM is here\0libLLVM.so.22.1\0"[..], Some(22)),
            (b"\0libLLVM-19.so.1\0", Some(19)),
            (b"statically linked", None),
        ] {
            std::fs::write(&file, content).unwrap();
            assert_eq!(llvm_of(&file), llvm);
        }
        std::fs::remove_file(&file).unwrap();
    }
}
