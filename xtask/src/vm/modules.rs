//! Kernel modules of a package: found with what they depend on, decompressed, in the order of loading.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use lzma_rust2::XzReader;
use object::{Object as _, ObjectSection as _};

/// A module, ready to be loaded.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) name: String,
    pub(super) content: Vec<u8>,
}

/// All modules of one kernel.
#[derive(Debug)]
pub(super) struct Modules {
    /// Name, with underscores, to file.
    files: BTreeMap<String, PathBuf>,
    /// Names of those that are part of the kernel itself.
    builtin: Vec<String>,
}

impl Modules {
    /// Of the directory `lib/modules/<release>` of a package.
    pub(super) fn read(directory: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        for entry in ignore::WalkBuilder::new(directory).standard_filters(false).build() {
            let path = entry.with_context(|| format!("listing {}", directory.display()))?.into_path();
            files.extend(name_of(&path).map(|name| (name, path)));
        }
        ensure!(!files.is_empty(), "there is no module in {}", directory.display());
        let builtin = directory.join("modules.builtin");
        let builtin =
            fs::read_to_string(&builtin).with_context(|| format!("reading {}", builtin.display()))?;
        Ok(Self { files, builtin: builtin.lines().filter_map(|line| name_of(Path::new(line))).collect() })
    }

    /// The named modules and what they need, each after what it needs.
    pub(super) fn in_order(&self, names: &[&str]) -> Result<Vec<Module>> {
        let mut ordered = Vec::new();
        for name in names {
            self.add(name, &mut ordered)?;
        }
        Ok(ordered)
    }

    fn add(&self, name: &str, ordered: &mut Vec<Module>) -> Result<()> {
        let known = |module: &Module| module.name == name;
        if ordered.iter().any(known) || self.builtin.iter().any(|builtin| builtin == name) {
            return Ok(());
        }
        let file = self.files.get(name).with_context(|| format!("the kernel has no module {name}"))?;
        let content = decompressed(file).with_context(|| format!("reading {}", file.display()))?;
        for needed in depends(&content).with_context(|| format!("reading what {name} depends on"))? {
            self.add(&needed, ordered)?;
        }
        ordered.push(Module { name: name.to_owned(), content });
        Ok(())
    }
}

/// `sch-ingress.ko.xz` is `sch_ingress`.
fn name_of(path: &Path) -> Option<String> {
    let (stem, compression) = path.file_name()?.to_str()?.split_once(".ko")?;
    ["", ".xz"].contains(&compression).then(|| stem.replace('-', "_"))
}

fn decompressed(file: &Path) -> Result<Vec<u8>> {
    let content = fs::read(file)?;
    if file.extension().is_none_or(|extension| extension != "xz") {
        return Ok(content);
    }
    let mut module = Vec::new();
    XzReader::new(content.as_slice(), true).read_to_end(&mut module)?;
    Ok(module)
}

/// The module's own list: `depends=a,b` among the strings of `.modinfo`.
fn depends(module: &[u8]) -> Result<Vec<String>> {
    let file = object::File::parse(module)?;
    let info = file.section_by_name(".modinfo").context("it has no section .modinfo")?.data()?;
    let list = info.split(|byte| *byte == 0).find_map(|text| text.strip_prefix(b"depends="));
    let list = String::from_utf8_lossy(list.unwrap_or_default()).into_owned();
    Ok(list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_modules_are_those_of_the_kernel() {
        let name = |path: &str| name_of(Path::new(path));
        assert_eq!(name("kernel/net/sched/sch-ingress.ko.xz").as_deref(), Some("sch_ingress"));
        assert_eq!(name("veth.ko").as_deref(), Some("veth"));
        assert_eq!(name("modules.order"), None);
    }
}
