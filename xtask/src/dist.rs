//! `cargo xtask dist`: what is handed out. Static programs for both architectures, their manual pages, completions and
//! licences, in one archive each, the same bytes for the same commit.

mod arch;
mod audit;
mod build;
mod graph;
mod notices;
mod pack;
mod sbom;
mod size;
mod toolchain;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

pub(crate) use arch::Arch;
use build::Build;
use graph::Graph;
use pack::Content;
use toolchain::Toolchain;

use crate::{metadata::Metadata, process, say, setup, test};

pub(crate) const AGENT: &str = "httpfault-agent";
pub(crate) const CTL: &str = "httpfault-ctl";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only the archive for this architecture, without the other one's agent (repeatable) [default: all]
    #[arg(long, value_enum, value_name = "NAME")]
    arch: Vec<Arch>,
    /// Build everything a second time, elsewhere, and compare; if that is all, test the pod's image with it
    #[arg(long)]
    verify: bool,
}

/// What a virtual machine holds.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) agent: PathBuf,
    pub(crate) init: PathBuf,
}

/// The programs of one architecture.
#[derive(Debug)]
struct Built {
    agent: PathBuf,
    ctl: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure_toolchain()?;
    let arches = if args.arch.is_empty() { Arch::ALL.to_vec() } else { args.arch.clone() };
    let directory = Metadata::read()?.target_directory.join("dist");
    let toolchains =
        arches.iter().map(|arch| Toolchain::find(*arch, &directory)).collect::<Result<Vec<_>>>()?;

    let archives = make(&toolchains, &directory, &directory.join("build"), &directory.join("out"))?;
    if args.verify {
        let again = make(&toolchains, &directory, &directory.join("build-again"), &directory.join("again"))?;
        for (first, second) in archives.iter().zip(&again) {
            compare(first, second)?;
        }
        say::line("built twice, the same bytes");
        // The image needs the agents for all architectures.
        let all = toolchains.len() == Arch::ALL.len();
        let mut made = toolchains.iter().zip(&archives);
        if let (true, Some((_, archive))) = (all, made.find(|(toolchain, _)| toolchain.arch == Arch::NATIVE))
        {
            test::run(&test::Args::pod(archive))?;
        }
    }
    Ok(())
}

/// The agent as it is handed out, and the program that drives it, for a machine of that architecture.
pub(crate) fn for_machine(arch: Arch, target: &Path) -> Result<Programs> {
    built(arch, target, |build| {
        Ok(Programs { agent: build.program(AGENT)?, init: build.program("httpfault-vm-init")? })
    })
}

/// A program as it is handed out.
pub(crate) fn program(arch: Arch, target: &Path, package: &str) -> Result<PathBuf> {
    built(arch, target, |build| build.program(package))
}

/// The same for a profiler: with the names of its functions.
pub(crate) fn with_symbols(arch: Arch, target: &Path, package: &str) -> Result<PathBuf> {
    built(arch, target, |build| build.with_symbols().program(package))
}

fn built<T>(arch: Arch, target: &Path, work: impl FnOnce(&Build<'_>) -> Result<T>) -> Result<T> {
    let directory = target.join("dist");
    let toolchain = Toolchain::find(arch, &directory)?;
    work(&Build::new(&toolchain, &directory.join("build")))
}

/// Builds with `cargo` below `build` and leaves the archives in `out`.
fn make(toolchains: &[Toolchain], cache: &Path, build: &Path, out: &Path) -> Result<Vec<PathBuf>> {
    let mut programs = BTreeMap::new();
    for toolchain in toolchains {
        let release = Build::new(toolchain, build);
        let built = Built { agent: release.program(AGENT)?, ctl: release.program(CTL)? };
        size::check(toolchain.arch, &built.agent, &built.ctl)?;
        programs.insert(toolchain.arch, built);
    }
    let manuals = manuals(cache)?;
    if out.exists() {
        fs::remove_dir_all(out).with_context(|| format!("emptying {}", out.display()))?;
    }
    fs::create_dir_all(out)?;

    let mut archives = Vec::new();
    for toolchain in toolchains {
        let mut content = Content::new(build::source_date()?.parse()?);
        for (arch, built) in &programs {
            // The controller finds agents by these names in its own directory, one for each kind of instance.
            content.program(&format!("{AGENT}-{arch}"), &built.agent)?;
        }
        content.link(AGENT, &format!("{AGENT}-{}", toolchain.arch));
        let own = programs.get(&toolchain.arch).context("an architecture was not built")?;
        content.program(CTL, &own.ctl)?;
        content.directory(&manuals)?;
        for licence in ["LICENSE-APACHE", "LICENSE-GPL2", "LICENSE-MIT"] {
            content.text(licence, fs::read(process::root().join(licence))?);
        }
        let graph = Graph::of(toolchain.arch)?;
        for program in [AGENT, CTL] {
            content.text(&format!("{program}.cdx.json"), sbom::of(&graph, program)?);
        }
        content.text("THIRD-PARTY.md", notices::of(&[AGENT, CTL], toolchain.arch)?.into_bytes());
        content.text("BUILD", build_notes(toolchains)?.into_bytes());
        archives.push(content.write(out, toolchain.arch)?);
    }
    pack::sums(out, &archives)?;
    for archive in &archives {
        say::line(format_args!("{}: {} bytes", archive.display(), fs::metadata(archive)?.len()));
    }
    Ok(archives)
}

/// Manual pages and completions of both programs.
fn manuals(cache: &Path) -> Result<PathBuf> {
    let directory = cache.join("manuals");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    let arguments = ["run", "--quiet", "--locked", "--package", "httpfault-manuals", "--"];
    process::run(process::cargo().args(arguments).arg(&directory))?;
    Ok(directory)
}

/// What the archive was made of.
fn build_notes(toolchains: &[Toolchain]) -> Result<String> {
    let commit = process::read(process::command("git").args(["rev-parse", "HEAD"]))?;
    let mut notes = format!("commit {}\n", commit.trim());
    for toolchain in toolchains {
        notes.push_str(&format!("{} {}\n", toolchain.arch, toolchain.version()?));
    }
    Ok(notes)
}

fn compare(first: &Path, second: &Path) -> Result<()> {
    let differ = fs::read(first)? != fs::read(second)?;
    ensure!(!differ, "{} and {} differ: look at both with diffoscope", first.display(), second.display());
    Ok(())
}
