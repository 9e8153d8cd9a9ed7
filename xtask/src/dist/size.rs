//! What the programs weigh, and how much they may.

use std::{fs, io::Write as _, path::Path};

use anyhow::{Context, Result, ensure};
use flate2::{Compression, write::GzEncoder};

use super::{AGENT, Arch, CTL};
use crate::say;

const MB: u64 = 1_000_000;
/// The agent travels through SSM, compressed, in pieces of some 40 KB: each costs a command.
const AGENT_BYTES: u64 = 3 * MB;
const AGENT_COMPRESSED: u64 = 13 * MB / 10;
const CTL_BYTES: u64 = 8 * MB;

/// Shows the sizes; one that is over its budget is an error.
pub(super) fn check(arch: Arch, agent: &Path, ctl: &Path) -> Result<()> {
    let agent = fs::read(agent).with_context(|| format!("reading {}", agent.display()))?;
    let ctl = fs::metadata(ctl).with_context(|| format!("looking at {}", ctl.display()))?.len();
    let mut over = Vec::new();
    for (what, bytes, budget) in [
        (AGENT, agent.len() as u64, AGENT_BYTES),
        ("httpfault-agent, compressed", compressed(&agent)?, AGENT_COMPRESSED),
        (CTL, ctl, CTL_BYTES),
    ] {
        let size = format!("{arch} {what}: {bytes} bytes of {budget}");
        say::line(&size);
        if bytes > budget {
            over.push(size);
        }
    }
    ensure!(over.is_empty(), "too large:\n  {}", over.join("\n  "));
    Ok(())
}

/// As the controller compresses it.
fn compressed(bytes: &[u8]) -> Result<u64> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.len() as u64)
}
