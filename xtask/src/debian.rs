//! Packages of Debian's archive, fetched and unpacked below the target directory: nothing is installed, and neither
//! the machine's package sources nor its distribution matter.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::process;

/// What signs the archive, from the package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A release of Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suite {
    Bullseye,
    Bookworm,
}

impl Suite {
    /// Where its packages are: archive and suite.
    fn sources(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // Its security archive is closed.
            Self::Bullseye => &[("http://deb.debian.org/debian", "bullseye")],
            Self::Bookworm => &[
                ("http://deb.debian.org/debian", "bookworm"),
                ("http://deb.debian.org/debian-security", "bookworm-security"),
            ],
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bullseye => "bullseye",
            Self::Bookworm => "bookworm",
        })
    }
}

/// The packages of one release and architecture; apt's state for it is private.
#[derive(Debug)]
pub(crate) struct Archive {
    directory: PathBuf,
    /// As Debian calls it: amd64, arm64.
    arch: &'static str,
}

impl Archive {
    /// Brings the package lists into `cache`, unless they are there.
    pub(crate) fn open(cache: &Path, suite: Suite, arch: &'static str) -> Result<Self> {
        ensure!(
            process::find("apt-get").is_some() && process::find("dpkg-deb").is_some(),
            "Debian's packages are fetched with apt-get and unpacked with dpkg-deb: install apt and dpkg"
        );
        ensure!(Path::new(KEYRING).is_file(), "there is no {KEYRING}: install debian-archive-keyring");
        let archive = Self { directory: cache.join(format!("{suite}-{arch}")), arch };
        let ready = archive.directory.join("ready");
        if !ready.exists() {
            archive.prepare(suite).with_context(|| format!("fetching the package lists of {suite}"))?;
            fs::write(&ready, "")?;
        }
        Ok(archive)
    }

    /// The package that a metapackage stands for: its first dependency.
    pub(crate) fn behind(&self, metapackage: &str) -> Result<String> {
        let shown =
            process::read(self.apt("apt-cache").args(["show", "--no-all-versions"]).arg(metapackage))?;
        let depends = shown.lines().find_map(|line| line.strip_prefix("Depends: "));
        let first = depends.and_then(|depends| depends.split([' ', ',']).next());
        Ok(first.with_context(|| format!("{metapackage} depends on nothing"))?.to_owned())
    }

    /// The files of a package, fetched unless they are there. `name` may carry a version, as in `name=1.0`.
    pub(crate) fn unpacked(&self, name: &str) -> Result<PathBuf> {
        let files = self.directory.join("unpacked").join(name.replace('=', "_"));
        let beside = |suffix| self.directory.join("unpacked").join(format!("{name}.{suffix}"));
        if files.exists() {
            return Ok(files);
        }
        let download = beside("download");
        let partial = beside("partial");
        for fresh in [&download, &partial] {
            // What an interrupted run left.
            if fresh.exists() {
                fs::remove_dir_all(fresh)?;
            }
            fs::create_dir_all(fresh)?;
        }
        process::run(self.apt("apt-get").args(["download", "--quiet"]).arg(name).current_dir(&download))?;
        let package = fs::read_dir(&download)?.next().context("apt-get fetched nothing")??.path();
        process::run(process::command("dpkg-deb").arg("--extract").arg(&package).arg(&partial))?;
        fs::remove_dir_all(&download)?;
        fs::rename(&partial, &files)?;
        Ok(files)
    }

    fn prepare(&self, suite: Suite) -> Result<()> {
        for part in ["lists/partial", "cache/archives/partial", "unpacked"] {
            fs::create_dir_all(self.directory.join(part))?;
        }
        fs::write(self.directory.join("status"), "")?;
        let line = |(uri, name): &(&str, &str)| {
            format!("deb [arch={} target=Packages signed-by={KEYRING}] {uri} {name} main\n", self.arch)
        };
        fs::write(self.directory.join("sources.list"), suite.sources().iter().map(line).collect::<String>())?;
        process::run(self.apt("apt-get").args(["update", "--quiet"]))
    }

    /// One of apt's programs, with the machine's proxies and nothing else of its configuration.
    fn apt(&self, program: &str) -> Command {
        let mut command = process::command(program);
        let mut option = |name: &str, value: &str| {
            command.args(["-o", &format!("{name}={value}")]);
        };
        let below = |part: &str| self.directory.join(part).display().to_string();
        option("Dir::Etc::SourceList", &below("sources.list"));
        option("Dir::Etc::SourceParts", "-");
        option("Dir::State::Lists", &below("lists"));
        option("Dir::State::Status", &below("status"));
        option("Dir::Cache", &below("cache"));
        option("APT::Architecture", self.arch);
        option("APT::Architectures", self.arch);
        option("Acquire::Languages", "none");
        option("Acquire::Retries", "5");
        // Its user may not be allowed into the target directory.
        option("APT::Sandbox::User", "");
        command
    }
}
