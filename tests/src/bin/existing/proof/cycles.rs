//! Faults that come and go over the same connections.

use std::time::Duration;

use anyhow::{Context, Result};
use httpfault_tests::{
    agent::{Agent, Ended, experiment},
    load::Load,
    site::Site,
    wait,
};

use super::Arguments;

/// How one fault after the other is put on.
pub(super) struct Cycles<'a> {
    arguments: &'a Arguments,
    on: Duration,
    off: Duration,
}

/// What they came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    pub(super) faults: usize,
    pub(super) taken: u64,
    pub(super) given_back: u64,
}

impl<'a> Cycles<'a> {
    pub(super) fn new(arguments: &'a Arguments) -> Self {
        let milliseconds = |index: usize| Duration::from_millis(arguments.on_off[index]);
        Self { arguments, on: milliseconds(0), off: milliseconds(1) }
    }

    /// Until enough connections were taken, or twice the faults were on in which they could have been.
    pub(super) fn until_taken(&self, site: &Site, load: &Load) -> Result<Done> {
        let Arguments { takes, connections, .. } = self.arguments;
        let most = (takes * 2).div_ceil(*connections as u64).max(1);
        let mut done = Done::default();
        while done.taken < *takes && (done.faults as u64) < most {
            let agent = self.on(site)?;
            done.add(&agent.terminate()?)?;
            wait::pause(self.off);
        }
        // The last connections have come back too.
        load.await_real(*connections)?;
        Ok(done)
    }

    /// A fault that was on for a while.
    pub(super) fn on(&self, site: &Site) -> Result<Agent> {
        let mode = self.arguments.mode.word();
        let more = ["--existing-connections", mode, "--duration", "600"];
        let agent = site.inject(&experiment("proof"), &more)?;
        wait::pause(self.on);
        Ok(agent)
    }

    pub(super) fn pause(&self) {
        wait::pause(self.off);
    }
}

impl Done {
    /// Adds a fault with what its report says.
    pub(super) fn add(&mut self, ended: &Ended) -> Result<()> {
        self.faults += 1;
        self.taken += counter(ended, "existing_taken")?;
        self.given_back += counter(ended, "existing_given_back")?;
        Ok(())
    }
}

/// A counter of the only target; an agent that cannot take has not all of them.
fn counter(ended: &Ended, name: &str) -> Result<u64> {
    let last = ended.lines.last().context("the agent said nothing")?;
    let event: serde_json::Value = serde_json::from_str(last).context("reading its last event")?;
    let target = &event["targets"][0];
    anyhow::ensure!(target["counters"].is_object(), "no counters in {last}; stderr:\n{}", ended.stderr);
    Ok(target["counters"][name].as_u64().unwrap_or_default())
}
