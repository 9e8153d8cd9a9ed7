//! What the programs weigh, and how much they may.

use std::{fs, io::Write as _, path::Path};

use anyhow::{Context, Result};
use flate2::{Compression, write::GzEncoder};

use super::{AGENT, Arch, CTL};
use crate::say;

const MB: u64 = 1_000_000;
/// The agent travels through SSM, compressed, in pieces of some 40 KB: each costs a command.
const AGENT_BYTES: u64 = 3 * MB;
const AGENT_COMPRESSED: u64 = 13 * MB / 10;
const CTL_BYTES: u64 = 8 * MB;

/// Shows the sizes, and whether they are within their budgets.
pub(super) fn report(arch: Arch, agent: &Path, ctl: &Path) -> Result<()> {
    let agent_bytes = fs::read(agent).with_context(|| format!("reading {}", agent.display()))?;
    let ctl_bytes = fs::metadata(ctl).with_context(|| format!("looking at {}", ctl.display()))?.len();
    for (what, bytes, budget) in [
        (AGENT, agent_bytes.len() as u64, AGENT_BYTES),
        ("httpfault-agent, compressed", compressed(&agent_bytes)?, AGENT_COMPRESSED),
        (CTL, ctl_bytes, CTL_BYTES),
    ] {
        let verdict = if bytes > budget { "OVER its budget" } else { "within its budget" };
        say::line(format_args!("{arch} {what}: {bytes} bytes, {verdict} of {budget}"));
    }
    Ok(())
}

/// As the controller compresses it.
fn compressed(bytes: &[u8]) -> Result<u64> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.len() as u64)
}
