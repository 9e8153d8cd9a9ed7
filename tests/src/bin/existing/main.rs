//! What becomes of connections that clients hold when a fault starts, with real servers and clients, as Markdown.
//! `modes`: each server with each client in each mode. `pool`: one pool of connections through many faults. `proof`: many
//! takes and give-backs, and what a killed agent costs.

mod modes;
mod pool;
mod proof;
mod traffic;

use std::{
    io::{Write, stdout},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use httpfault_tests::{
    machine,
    servers::{Server, files},
};

/// An answer that takes longer was held up: no server here takes this long by itself.
const DELAYED: Duration = Duration::from_millis(150);

/// Measures what a fault does to connections that exist.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Each server with each client in each mode
    Modes(modes::Arguments),
    /// One pool of connections through many faults
    Pool(pool::Arguments),
    /// Many takes and give-backs with each server, and with the agent killed
    Proof(proof::Arguments),
    /// The files that `proof` needs on another machine, one a line
    Files(Servers),
}

/// Which servers.
#[derive(Debug, Args)]
struct Servers {
    /// Only servers whose name contains this (repeatable)
    #[arg(long, value_name = "NAME")]
    server: Vec<String>,
}

/// A mode of EXISTING_CONNECTIONS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    Keep,
    Drain,
    Reset,
    Take,
    Auto,
}

fn main() -> Result<()> {
    let Arguments { command } = Arguments::parse();
    match command {
        Command::Modes(arguments) => modes::measure(&arguments)?,
        Command::Pool(arguments) => pool::measure(&arguments)?,
        Command::Proof(arguments) => proof::measure(&arguments)?,
        Command::Files(servers) => {
            let files = files(&servers.among(&proof::SERVERS))?;
            files.iter().try_for_each(|file| print(&format!("{}\n", file.display())))?;
        }
    }
    // On the console of an emulated machine this tells that nothing broke.
    eprintln!("complete");
    Ok(())
}

impl Servers {
    /// Those of `all` that were asked for.
    fn among(&self, all: &[Server]) -> Vec<Server> {
        let asked = |server: &&Server| {
            self.server.is_empty() || self.server.iter().any(|name| server.name().contains(name.as_str()))
        };
        all.iter().filter(asked).copied().collect()
    }
}

impl Mode {
    /// As the agent's command line has it.
    fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Drain => "drain",
            Self::Reset => "reset",
            Self::Take => "take",
            Self::Auto => "auto",
        }
    }
}

/// Where the numbers come from.
fn describe_machine() -> Result<()> {
    print(&format!("{}\n", machine::description()?))
}

/// Rows are shown as they come.
fn print(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("writing to standard output")
}

fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
