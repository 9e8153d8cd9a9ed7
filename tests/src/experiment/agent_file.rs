//! The agent as a file that is small enough to be sent in pieces.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use anyhow::{Context, Result};

use crate::{agent, command::output, machine};

/// The agent that was built, without its symbols: a third of the size.
#[derive(Clone, Debug)]
pub struct AgentFile {
    pub path: PathBuf,
    /// Hex.
    pub sha256: String,
}

impl AgentFile {
    /// Strips the agent once and keeps the result until the next build.
    pub fn stripped() -> Result<Self> {
        let built = agent::binary()?;
        let built_at = changed(&built)?;
        let mut hasher = DefaultHasher::new();
        built.hash(&mut hasher);
        let directory = machine::directory()?.join(format!("agent-{:016x}", hasher.finish()));
        let path = directory.join("httpfault-agent");
        let _one_at_a_time = machine::locked("agents.lock")?;
        if !path.exists() || changed(&path)? < built_at {
            fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
            let aside = directory.join("aside");
            fs::copy(&built, &aside).with_context(|| format!("copying {}", built.display()))?;
            output(Command::new("strip").arg(&aside)).context("strip (binutils) makes the agent smaller")?;
            fs::rename(&aside, &path).context("keeping the stripped agent")?;
        }
        Ok(Self { sha256: sha256(&path)?, path })
    }

    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }
}

fn changed(path: &Path) -> Result<SystemTime> {
    let data = fs::metadata(path).with_context(|| format!("looking at {}", path.display()))?;
    data.modified().context("asking when it was changed")
}

/// By the program that hosts use.
fn sha256(path: &Path) -> Result<String> {
    let line = output(Command::new("sha256sum").arg(path))?;
    line.split_whitespace().next().map(str::to_owned).context("sha256sum said nothing")
}
