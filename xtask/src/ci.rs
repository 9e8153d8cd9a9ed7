//! `cargo xtask ci`: everything that has to pass. Cheap checks first, and all of them run, so that one visit shows
//! everything there is to repair.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::{chaos, deny, ebpf, process, say, setup, test, tidy, vm};

/// A check and its name in the closing table.
type Check = (&'static str, fn() -> Result<()>);

const CHECKS: [Check; 8] = [
    ("tidy", tidy::run),
    ("deny", || deny::run(&deny::Args::default())),
    ("fmt", || process::run(process::cargo().args(["fmt", "--all", "--check"]))),
    ("ebpf", || ebpf::run(&ebpf::Args { deny_warnings: true })),
    (
        "clippy",
        // The default members: the kernel programs only exist for their own target, `ebpf` checks them.
        || process::run(process::cargo().args(["clippy", "--all-targets", "--", "-D", "warnings"])),
    ),
    ("test", || test::run(&test::Args::default())),
    ("chaos", || chaos::run(&chaos::Args::ci())),
    ("vm", || vm::run(&vm::Args::ci())),
];

pub(crate) fn run() -> Result<()> {
    setup::ensure()?;
    let mut outcomes = Vec::new();
    for (name, check) in CHECKS {
        say::line(format_args!("\n== {name}"));
        let start = Instant::now();
        let result = check();
        if let Err(error) = &result {
            eprintln!("error: {error:#}");
        }
        outcomes.push((name, result.is_ok(), start.elapsed()));
    }

    say::line("");
    for (name, passed, time) in &outcomes {
        say::line(format_args!(
            "{name:8} {:8} {}",
            if *passed { "passed" } else { "FAILED" },
            say::time(*time)
        ));
    }
    let failed: Vec<&str> =
        outcomes.iter().filter(|(_, passed, _)| !passed).map(|(name, ..)| *name).collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}
