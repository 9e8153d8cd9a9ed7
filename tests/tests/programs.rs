//! What the kernel's verifier had to look at: programs that grow are noticed before an old kernel refuses them. And whose
//! they are.

use std::{collections::BTreeMap, process::Command};

use anyhow::{Context, Result, ensure};
use aya::programs::loaded_programs;
use httpfault_tests::{
    agent::{self, Agent, experiment, run_args},
    clean::Traces,
    site::Site,
};

/// Instructions that the verifier may look at, of each program, on the way through all its branches: as usual, and
/// where it logs. It gives up at a million; before Linux 5.16 it does not tell how many there were.
const BUDGETS: [(&[&str], u32); 2] = [(&[], 2_500), (&["--log-steering"], 10_000)];
/// By name, as far as the kernel keeps it (15 bytes).
const PROGRAMS: [&str; 6] = [
    "httpfault_conn4",
    "httpfault_conn6",
    "httpfault_gate",
    "httpfault_peer4",
    "httpfault_peer6",
    "httpfault_steer",
];

/// Of our programs, the most that each took.
fn verified() -> Result<BTreeMap<String, u32>> {
    let mut most = BTreeMap::new();
    for program in loaded_programs() {
        // One that is being unloaded is not ours.
        let Ok(program) = program else { continue };
        let name = String::from_utf8_lossy(program.name()).into_owned();
        if name.starts_with("httpfault_") {
            let count = program.verified_instruction_count().context("the kernel does not count")?;
            let known: &mut u32 = most.entry(name).or_default();
            *known = (*known).max(count);
        }
    }
    Ok(most)
}

#[test]
fn each_program_is_within_its_budget() -> Result<()> {
    let site = Site::take("programs")?;
    for (more, budget) in BUDGETS {
        let agent = site.inject(&experiment("programs"), more)?;
        let verified = verified()?;
        eprintln!("{more:?}: {verified:?}");
        for name in PROGRAMS {
            let count = verified.get(name).with_context(|| format!("{name} is not loaded: {verified:?}"))?;
            ensure!((1..=budget).contains(count), "{name} {more:?}: {count} instructions of {budget}");
        }
        assert_eq!(agent.terminate()?.code()?, 130);
    }
    Ok(())
}

/// A test that has a mount namespace to itself tells its agents' programs and links from those of others.
#[test]
fn what_agents_elsewhere_have_open_is_not_ours() -> Result<()> {
    let site = Site::take("whose")?;
    let (here, everywhere) = (Traces::here()?, Traces::now()?);
    let mut elsewhere = Command::new("unshare");
    elsewhere.args(["--mount", "--"]).arg(agent::binary()?);
    elsewhere.args(run_args(["--pid", &site.pid().to_string()], &experiment("elsewhere"), &[]));
    let (agent, _injected) = Agent::inject(elsewhere)?;
    let (ours, all) = (here.added()?, everywhere.added()?);
    // The state directory is everybody's here.
    assert_eq!(ours.len(), 1, "{ours:?}");
    for name in PROGRAMS {
        let said =
            all.iter().find(|one| one.contains(name)).with_context(|| format!("no {name}: {all:?}"))?;
        assert!(said.contains("httpfault-"), "{said} does not say who has it open");
    }
    agent.terminate()?;
    everywhere.none_but_these(&[])?;

    let agent = site.inject(&experiment("here"), &[])?;
    let ours = here.added()?;
    assert!(PROGRAMS.iter().all(|name| ours.iter().any(|one| one.contains(name))), "{ours:?}");
    agent.terminate()?;
    here.none_but_these(&[])
}
