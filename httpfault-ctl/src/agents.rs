//! The agent's files on this machine: found, read and summed before anything is sent.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

use crate::tunables::{Agents, Architecture};

/// An agent for one architecture.
#[derive(Clone, Debug)]
pub(crate) struct AgentFile {
    /// Of the executable, hex.
    pub(crate) sha256: String,
    pub(crate) compressed_bytes: Option<usize>,
    /// The executable, gzipped; `None` when only the checksum is known.
    pub(crate) compressed: Option<std::sync::Arc<Vec<u8>>>,
}

/// Finds the agent of each architecture. A missing file is no error here: the plan may not need it.
pub(crate) fn find(settings: &Agents) -> anyhow::Result<BTreeMap<Architecture, AgentFile>> {
    let dir = match &settings.dir {
        Some(dir) => dir.clone(),
        None => own_dir()?,
    };
    let mut agents = BTreeMap::new();
    for architecture in [Architecture::X86_64, Architecture::Aarch64] {
        let stated = settings.checksums.get(&architecture).cloned();
        if let Some(agent) = find_one(&dir, architecture, stated)? {
            agents.insert(architecture, agent);
        }
    }
    Ok(agents)
}

fn find_one(
    dir: &Path,
    architecture: Architecture,
    stated: Option<String>,
) -> anyhow::Result<Option<AgentFile>> {
    let own = Architecture::named(std::env::consts::ARCH) == Some(architecture);
    let named = dir.join(format!("httpfault-agent-{architecture}"));
    let plain = dir.join("httpfault-agent");
    let path = if named.is_file() {
        named
    } else if own && plain.is_file() {
        plain
    } else {
        return Ok(stated.map(|sha256| AgentFile { sha256, compressed_bytes: None, compressed: None }));
    };
    let bytes = std::fs::read(&path).with_context(|| format!("reading the agent {}", path.display()))?;
    let sha256 = hex(&Sha256::digest(&bytes));
    if let Some(stated) = stated.filter(|stated| *stated != sha256) {
        anyhow::bail!(
            "{} has SHA-256 {sha256}, but AGENT_SHA256 says {stated}; correct one of them, or set AGENT_DIR",
            path.display()
        );
    }
    let compressed = gzip(&bytes).with_context(|| format!("compressing {}", path.display()))?;
    let compressed_bytes = Some(compressed.len());
    Ok(Some(AgentFile { sha256, compressed_bytes, compressed: Some(std::sync::Arc::new(compressed)) }))
}

fn own_dir() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("finding the directory of httpfault-ctl; set AGENT_DIR")?;
    Ok(own.parent().map(Path::to_owned).unwrap_or_default())
}

/// The same bytes for the same file on every machine (no time stamp), so that pieces left on a host by another
/// controller fit.
fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Lower-case hex of the SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        text.push_str(&format!("{byte:02x}"));
        text
    })
}
