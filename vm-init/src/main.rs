//! The program in the virtual machines of `cargo xtask vm`: it drives the real agent through its features and tells
//! each on the console. Nothing else runs there: no shell, no other tool, unless it is told to run a program of the image
//! instead (`cargo xtask existing --kernel`).
//!
//! As process 1 it first makes a usable system of a bare kernel (`boot`); on a running host it works in namespaces of
//! its own (`host`). Both then run the same suite. `serve` and `ask` are the application and the clients of the target,
//! started by the suite in the right cgroup and network namespace.
#![forbid(unsafe_code)]

mod agent;
mod cgroup;
mod finding;
mod http;
mod link;
mod machine;
mod netns;
mod role;
mod site;
mod suite;
mod wait;

use std::{
    ffi::OsString,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Parser;
use finding::{Finding, Host, MARK, Outcome};
use site::Site;

/// Where the image has the agent.
const AGENT: &str = "/httpfault-agent";

#[derive(Debug, Parser)]
#[command(name = "httpfault-vm-init")]
enum Role {
    /// Process 1 of a virtual machine: make the system usable, run the suite, power off
    Boot {
        #[arg(long)]
        host: Host,
        /// Run this program instead of the suite; its files are in the image
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        program: Vec<OsString>,
    },
    /// Run the suite on this host, in mount and network namespaces of its own
    Host {
        #[arg(long, value_name = "PATH")]
        agent: PathBuf,
    },
    /// The application
    Serve {
        #[arg(long, value_name = "DIR")]
        cgroup: PathBuf,
        #[arg(long)]
        port: u16,
    },
    /// A client inside: one request, and what the client was told about its peer
    Ask {
        #[arg(long, value_name = "DIR")]
        cgroup: PathBuf,
        #[arg(long)]
        to: SocketAddr,
    },
}

fn main() -> ExitCode {
    let done = match Role::parse() {
        Role::Boot { host, program } => boot(host, &program),
        Role::Host { agent } => machine::seclude().and_then(|()| look(&agent, Host::Full)),
        Role::Serve { cgroup, port } => role::serve(&cgroup, port),
        Role::Ask { cgroup, to } => role::ask(&cgroup, to),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("httpfault-vm-init: {why:#}");
            ExitCode::FAILURE
        }
    }
}

/// Process 1 must not end before the machine does.
fn boot(host: Host, program: &[OsString]) -> Result<()> {
    let done = machine::prepare(host).and_then(|()| match program {
        [] => look(Path::new(AGENT), host),
        [program, args @ ..] => machine::run(program, args, Path::new(AGENT)),
    });
    if let Err(why) = done {
        eprintln!("httpfault-vm-init: {why:#}");
    }
    machine::power_off()
}

fn look(agent: &Path, host: Host) -> Result<()> {
    let site = Site::build(agent, host).context("building the network, the cgroups and the application")?;
    let mut failed = 0_usize;
    suite::run(&site, &mut |finding| {
        failed += usize::from(finding.outcome == Outcome::Failed);
        tell(finding)
    })?;
    anyhow::ensure!(failed == 0, "{failed} features failed");
    Ok(())
}

/// One line, whole and at once: the kernel writes to the same console.
fn tell(finding: &Finding) -> Result<()> {
    let line = format!("{MARK}{}\n", serde_json::to_string(finding)?);
    let mut console = io::stdout().lock();
    console.write_all(line.as_bytes()).and_then(|()| console.flush()).context("writing to the console")
}
