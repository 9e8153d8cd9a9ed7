//! Asks the kernel that a fault left nothing. It compares with what was there before the test, so that an unrelated
//! fault on the same machine is no failure.

use std::{collections::BTreeSet, fs, io::ErrorKind, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use aya::programs::{ProgramError, links::LinkError, loaded_links, loaded_programs};

use crate::{netns::Namespace, wait};

/// Names of our kernel programs begin so (`abi::program`).
const PROGRAMS: &str = "httpfault_";
/// State of running faults.
const STATE: &str = "/run/httpfault";
/// How long after the agent's end the kernel may take to free what its file descriptors held.
const FREED: Duration = Duration::from_secs(3);

/// What is on the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    programs: BTreeSet<(u32, String)>,
    /// Attachments of those programs: link and program.
    links: BTreeSet<(u32, u32)>,
    state: BTreeSet<String>,
    agents: BTreeSet<i32>,
}

impl Traces {
    pub fn now() -> Result<Self> {
        let programs = programs()?;
        let ours = programs.iter().map(|(id, _)| *id).collect::<BTreeSet<_>>();
        let links = links()?.into_iter().filter(|(_, program)| ours.contains(program)).collect();
        Ok(Self { programs, links, state: state()?, agents: agents()? })
    }

    /// Kernel programs that were not there at the time of `self`, by name.
    pub fn new_programs(&self) -> Result<Vec<String>> {
        Ok(Self::now()?.programs.difference(&self.programs).map(|(_, name)| name.clone()).collect())
    }

    /// Links that were not there at the time of `self`.
    pub fn new_links(&self) -> Result<usize> {
        Ok(Self::now()?.links.difference(&self.links).count())
    }

    /// An error that names whatever is there and was not at the time of `self`, and a listener on the proxy port in any
    /// of `namespaces`.
    pub fn none_but_these(&self, namespaces: &[(&Namespace, u16)]) -> Result<()> {
        let clean = wait::until("every trace to be gone", FREED, || Ok(self.added(namespaces)?.is_empty()));
        clean.map(drop).or_else(|_late| {
            let added = self.added(namespaces)?;
            bail!("left behind: {}", added.join(", "))
        })
    }

    fn added(&self, namespaces: &[(&Namespace, u16)]) -> Result<Vec<String>> {
        let now = Self::now()?;
        let mut added = Vec::new();
        added
            .extend(now.programs.difference(&self.programs).map(|(id, name)| format!("program {id} {name}")));
        added.extend(
            now.links.difference(&self.links).map(|(link, program)| format!("link {link} of {program}")),
        );
        added.extend(now.state.difference(&self.state).map(|name| format!("{STATE}/{name}")));
        added.extend(now.agents.difference(&self.agents).map(|pid| format!("agent process {pid}")));
        for (namespace, proxy_port) in namespaces {
            if namespace.listens(*proxy_port)? {
                added.push(format!("a listener on port {proxy_port} in {}", namespace.path().display()));
            }
        }
        Ok(added)
    }
}

fn programs() -> Result<BTreeSet<(u32, String)>> {
    let mut found = BTreeSet::new();
    for program in loaded_programs() {
        let program = match program {
            Ok(program) => program,
            // Unloaded between being listed and being looked at.
            Err(ProgramError::SyscallError(error)) if error.io_error.kind() == ErrorKind::NotFound => {
                continue;
            }
            Err(error) => return Err(error).context("listing kernel programs (needs root)"),
        };
        let name = String::from_utf8_lossy(program.name()).into_owned();
        if name.starts_with(PROGRAMS) {
            found.insert((program.id(), name));
        }
    }
    Ok(found)
}

fn links() -> Result<BTreeSet<(u32, u32)>> {
    let mut found = BTreeSet::new();
    for link in loaded_links() {
        match link {
            Ok(link) => drop(found.insert((link.id(), link.program_id()))),
            Err(LinkError::SyscallError(error)) if error.io_error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).context("listing kernel links (needs root)"),
        }
    }
    Ok(found)
}

fn state() -> Result<BTreeSet<String>> {
    if !Path::new(STATE).exists() {
        return Ok(BTreeSet::new());
    }
    let entries = fs::read_dir(STATE).with_context(|| format!("reading {STATE}"))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    // The gate that agents pass one at a time is no fault's state.
    Ok(names.filter(|name| !name.starts_with('.')).collect())
}

fn agents() -> Result<BTreeSet<i32>> {
    let all = procfs::process::all_processes().context("listing processes")?;
    let is_agent = |process: &procfs::process::Process| {
        process.exe().is_ok_and(|exe| {
            exe.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"httpfault-agent"))
        })
    };
    Ok(all.flatten().filter(is_agent).map(|process| process.pid).collect())
}
