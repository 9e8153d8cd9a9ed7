//! Asks the kernel that a fault left nothing. It compares with what was there before the test, so that an unrelated
//! fault on the same machine is no failure.

mod holders;

use std::{collections::BTreeSet, fs, io::ErrorKind, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use aya::programs::{ProgramError, links::LinkError, loaded_links, loaded_programs};

use crate::{netns::Namespace, wait};
use holders::Holder;

/// Names of our kernel programs begin so (`abi::program`).
const PROGRAMS: &str = "httpfault_";
/// State of running faults.
const STATE: &str = "/run/httpfault";
/// How long after the agent's end the kernel may take to free what its file descriptors held.
const FREED: Duration = Duration::from_secs(3);

/// What is on the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    whose: Whose,
    programs: BTreeSet<(u32, String)>,
    /// Attachments of those programs: link and program.
    links: BTreeSet<(u32, u32)>,
    state: BTreeSet<String>,
    agents: BTreeSet<i32>,
}

/// Whose traces count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Whose {
    #[default]
    Everybodys,
    /// Not those of agents in other mount namespaces than this process's.
    Ours,
}

impl Traces {
    pub fn now() -> Result<Self> {
        Self::of(Whose::Everybodys)
    }

    /// For a test that has a mount namespace to itself, as its agents then have: what agents elsewhere have open is not
    /// theirs. What nobody has open is.
    pub fn here() -> Result<Self> {
        Self::of(Whose::Ours)
    }

    fn of(whose: Whose) -> Result<Self> {
        let (mut programs, mut links, mut agents) = (programs()?, links()?, agents()?);
        if whose == Whose::Ours {
            // After the lists: who made what is in them has it open by now.
            for other in holders::elsewhere(&agents)? {
                programs.retain(|(id, _)| !other.programs.contains(id));
                links.retain(|(id, _)| !other.links.contains(id));
                agents.remove(&other.pid);
            }
        }
        let ours = programs.iter().map(|(id, _)| *id).collect::<BTreeSet<_>>();
        links.retain(|(_, program)| ours.contains(program));
        Ok(Self { whose, programs, links, state: state()?, agents })
    }

    /// Kernel programs that were not there at the time of `self`, by name.
    pub fn new_programs(&self) -> Result<Vec<String>> {
        Ok(self.since()?.programs.into_iter().map(|(_, name)| name).collect())
    }

    /// Links that were not there at the time of `self`.
    pub fn new_links(&self) -> Result<usize> {
        Ok(self.since()?.links.len())
    }

    /// An error that names whatever is there and was not at the time of `self`, who has it open, and a listener on the
    /// proxy port in any of `namespaces`.
    pub fn none_but_these(&self, namespaces: &[(&Namespace, u16)]) -> Result<()> {
        let clean = || Ok(self.since()?.is_none() && listeners(namespaces)?.is_empty());
        wait::until("every trace to be gone", FREED, clean).map(drop).or_else(|_late| {
            bail!("left behind: {}", [self.added()?, listeners(namespaces)?].concat().join(", "))
        })
    }

    /// Names whatever is there and was not at the time of `self`, and who has it open.
    pub fn added(&self) -> Result<Vec<String>> {
        let (new, all) = (self.since()?, holders::all()?);
        let who = |has: &dyn Fn(&Holder) -> bool| {
            let who: Vec<String> = all.iter().filter(|holder| has(holder)).map(Holder::to_string).collect();
            if who.is_empty() { "nobody".to_owned() } else { who.join(" and ") }
        };
        let programs = new.programs.iter().map(|(id, name)| {
            let who = who(&|holder| holder.programs.contains(id));
            format!("program {id} {name}, which {who} has open")
        });
        let links = new.links.iter().map(|(id, program)| {
            format!("link {id} of {program}, which {} has open", who(&|holder| holder.links.contains(id)))
        });
        let state = new.state.iter().map(|name| format!("{STATE}/{name}"));
        let agents = new.agents.iter().map(|pid| format!("agent process {pid}"));
        Ok(programs.chain(links).chain(state).chain(agents).collect())
    }

    /// What is there and was not at the time of `self`.
    fn since(&self) -> Result<Self> {
        let now = Self::of(self.whose)?;
        Ok(Self {
            whose: self.whose,
            programs: now.programs.difference(&self.programs).cloned().collect(),
            links: now.links.difference(&self.links).copied().collect(),
            state: now.state.difference(&self.state).cloned().collect(),
            agents: now.agents.difference(&self.agents).copied().collect(),
        })
    }

    fn is_none(&self) -> bool {
        *self == Self { whose: self.whose, ..Self::default() }
    }
}

fn listeners(namespaces: &[(&Namespace, u16)]) -> Result<Vec<String>> {
    let mut listeners = Vec::new();
    for (namespace, port) in namespaces {
        if namespace.listens(*port)? {
            listeners.push(format!("a listener on port {port} in {}", namespace.path().display()));
        }
    }
    Ok(listeners)
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
