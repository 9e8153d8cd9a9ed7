//! SIGKILL while connections are taken: of the agent, of its child in a session of its own, of both.

use std::{fmt, path::Path, time::Duration};

use anyhow::{Context, Result};
use httpfault_tests::{agent::Agent, load::Load, site::Site, wait};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    Arguments,
    cycles::{Cycles, Done},
};

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kill {
    Agent,
    Child,
    Both,
}

pub(super) const KILLS: [Kill; 3] = [Kill::Agent, Kill::Child, Kill::Both];

/// How long what is not killed may take to put everything back.
const SWEPT: Duration = Duration::from_secs(20);

impl Kill {
    /// Kills as often as asked for, each time with a fault on; the application has to answer afterwards.
    pub(super) fn times(self, arguments: &Arguments, site: &Site, load: &Load) -> Result<Done> {
        let cycles = Cycles::new(arguments);
        let mut done = Done::default();
        for _ in 0..arguments.kills {
            let agent = cycles.on(site)?;
            self.once(agent)?;
            done.faults += 1;
            load.await_real(arguments.connections)?;
            cycles.pause();
        }
        Ok(done)
    }

    fn once(self, agent: Agent) -> Result<()> {
        let own = Pid::from_raw(agent.pid().cast_signed());
        let all = [own, agent.keeper()?];
        let killed = match self {
            Self::Agent => &all[..1],
            Self::Child => &all[1..],
            Self::Both => &all,
        };
        for pid in killed {
            kill(*pid, Signal::SIGKILL).with_context(|| format!("killing {pid}"))?;
        }
        if self == Self::Child {
            // It may have ended by itself since.
            match kill(own, Signal::SIGTERM) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => return Err(error).context("ending the agent"),
            }
        }
        agent.ended()?;
        let gone = |pid: &Pid| !Path::new("/proc").join(pid.to_string()).exists();
        wait::until("the agent's processes to be gone", SWEPT, || Ok(all.iter().all(gone))).map(drop)
    }
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agent => "agent",
            Self::Child => "its child",
            Self::Both => "both",
        })
    }
}
