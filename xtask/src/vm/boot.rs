//! One kernel from its package to its findings.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        OnceLock,
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    finding::{Finding, MARK},
    image,
    modules::Modules,
    qemu,
    rows::{Kernel, Row},
    table::Column,
    tree::Tree,
};
use crate::{
    debian::Archive,
    dist::{self, Arch, Programs},
    process,
};

/// An emulated machine takes about a minute.
const PATIENCE: Duration = Duration::from_secs(300);
/// What is shown of the console when a machine ended early.
const LAST_LINES: usize = 15;

/// Modules that the suite needs.
const NETWORK: [&str; 2] = ["veth", "tcp_diag"];

/// Packages, programs, images and logs.
#[derive(Debug)]
pub(super) struct Lab {
    target: PathBuf,
    directory: PathBuf,
    programs: BTreeMap<Arch, OnceLock<Programs>>,
}

impl Lab {
    /// Below the target directory.
    pub(super) fn new(target: PathBuf) -> Self {
        let directory = target.join("vm");
        Self {
            target,
            directory,
            programs: Arch::ALL.into_iter().map(|arch| (arch, OnceLock::new())).collect(),
        }
    }

    /// Boots the row's kernel, or uses the running one, and collects what it is told.
    pub(super) fn look(&self, row: &'static Row) -> Result<Column> {
        fs::create_dir_all(&self.directory)?;
        let (release, mut command) = match row.kernel {
            Some(kernel) => self.machine(row, kernel, None)?,
            None => self.here()?,
        };
        let log = self.directory.join(format!("{}.log", row.name));
        let console = watch(&mut command, &log)?;
        let findings = findings(&console);
        if findings.is_empty() {
            bail!("it told nothing; the end of {}:\n{}", log.display(), end_of(&console));
        }
        Ok(Column::new(row, release, findings))
    }

    /// The row's machine, which runs a program of this one, with its files, instead of the suite.
    pub(super) fn machine_with(&self, row: &Row, files: &Tree, run: &[String]) -> Result<(String, Command)> {
        let kernel = row.kernel.with_context(|| format!("{} is no emulated machine", row.name))?;
        fs::create_dir_all(&self.directory)?;
        self.machine(row, kernel, Some((files, run)))
    }

    fn machine(
        &self,
        row: &Row,
        kernel: Kernel,
        extra: Option<(&Tree, &[String])>,
    ) -> Result<(String, Command)> {
        let archive = Archive::open(&self.directory.join("debian"), kernel.suite, kernel.arch.debian())?;
        let package = archive.behind(kernel.metapackage)?;
        let files = archive.unpacked(&package)?;
        let release = package.strip_prefix("linux-image-").unwrap_or(&package).to_owned();

        let modules = Modules::read(&files.join("lib/modules").join(&release))?;
        let modules = modules.in_order(&NETWORK)?;
        let programs = self.programs(kernel.arch)?;
        let initrd = self.directory.join(format!("{}.initrd", row.name));
        let (tree, run) = extra.map_or((None, &[][..]), |(tree, run)| (Some(tree), run));
        image::write(&initrd, &programs.init, &programs.agent, modules, tree)?;
        let vmlinuz = files.join("boot").join(format!("vmlinuz-{release}"));
        Ok((release, qemu::machine(kernel.arch, row.host, &vmlinuz, &initrd, run)))
    }

    fn here(&self) -> Result<(String, Command)> {
        let release =
            fs::read_to_string("/proc/sys/kernel/osrelease").context("reading the kernel's release")?;
        let programs = self.programs(Arch::NATIVE)?;
        let mut command = process::command(&programs.init);
        command.arg("host").arg("--agent").arg(&programs.agent);
        // What follows the version names this machine's build.
        Ok((release.split('-').next().unwrap_or_default().trim().to_owned(), command))
    }

    /// Built once for each architecture.
    fn programs(&self, arch: Arch) -> Result<&Programs> {
        let slot = self.programs.get(&arch).context("an architecture without programs")?;
        if let Some(programs) = slot.get() {
            return Ok(programs);
        }
        let built = dist::for_machine(arch, &self.target).context("building the programs")?;
        Ok(slot.get_or_init(|| built))
    }
}

/// Runs the command to its end and returns what it wrote, which is also kept in `log`.
fn watch(command: &mut Command, log: &Path) -> Result<Vec<String>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(log.with_extension("stderr"))?)
        .spawn()
        .with_context(|| format!("starting {}", command.get_program().display()))?;
    let stdout = child.stdout.take().context("it has no output")?;
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            // Whoever reads has given up by then.
            drop(sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()));
        }
    });
    let mut kept = File::create(log).with_context(|| format!("making {}", log.display()))?;
    let (mut console, end) = (Vec::new(), Instant::now() + PATIENCE);
    let outcome = loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                writeln!(kept, "{line}")?;
                console.push(line);
            }
            Err(RecvTimeoutError::Disconnected) => break Ok(()),
            Err(RecvTimeoutError::Timeout) => {
                child.kill().context("ending a machine that took too long")?;
                break Err(anyhow::anyhow!("not done after {} s:\n{}", PATIENCE.as_secs(), end_of(&console)));
            }
        }
    };
    child.wait()?;
    outcome.map(|()| console)
}

/// The findings among the lines of a console. The kernel's own lines may begin before them or end after them.
fn findings(console: &[String]) -> Vec<Finding> {
    let told = console.iter().filter_map(|line| Some(line.split_once(MARK)?.1));
    told.filter_map(|text| serde_json::Deserializer::from_str(text).into_iter().next()?.ok()).collect()
}

fn end_of(console: &[String]) -> String {
    let from = console.len().saturating_sub(LAST_LINES);
    console[from..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::finding::{Feature, Outcome};

    #[test]
    fn findings_are_told_from_the_kernels_lines() {
        let finding = Finding { feature: Feature::Kill, outcome: Outcome::Works, detail: "x".to_owned() };
        let text = serde_json::to_string(&finding).unwrap();
        let console =
            ["[ 1.0] ACPI".to_owned(), format!("[ 2.0] {MARK}{text}[ 2.1] eth0"), format!("{MARK}{{")];
        assert_eq!(findings(&console), [finding]);
    }
}
