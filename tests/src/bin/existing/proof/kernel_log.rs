//! What the kernel complains about.

use std::process::Command;

use anyhow::{Context, Result};
use httpfault_tests::command::output;

/// Beginnings of complaints: WARN_ON and BUG, and what TCP says when a sequence number is not the one it expects.
const COMPLAINTS: [&str; 5] = ["WARNING:", "BUG:", "Oops", "seq # bug", "general protection"];

/// Complaints so far.
pub(super) fn warnings() -> Result<usize> {
    let log = output(&mut Command::new("dmesg")).context("reading the kernel's log")?;
    let complains = |line: &&str| COMPLAINTS.iter().any(|complaint| line.contains(complaint));
    Ok(log.lines().filter(complains).count())
}
