//! `aws-simulator`: the simulator as a program, for demonstrations and for tests that are no Rust.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use httpfault_simulator::{Simulator, World, read_world};
use tokio::signal::unix::{SignalKind, signal};

/// Simulates Amazon ECS, SSM Run Command and STS on a loopback port. Prints the environment that AWS programs need, as
/// shell `export` lines, and serves until SIGINT or SIGTERM. SIGHUP reads the world file again.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// What exists, in TOML or JSON (see the README of httpfault-simulator)
    #[arg(long, value_name = "FILE")]
    world: PathBuf,

    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("aws-simulator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let simulator = Simulator::builder(read_world(&args.world)?).address(args.listen).start()?;
    announce(&simulator);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting a runtime")?;
    runtime.block_on(serve(args, &simulator))
}

#[expect(clippy::print_stdout, reason = "this is the program's output")]
fn announce(simulator: &Simulator) {
    for (name, value) in simulator.env() {
        println!("export {name}='{value}'");
    }
}

/// Until a signal asks for the end.
async fn serve(args: &Args, simulator: &Simulator) -> anyhow::Result<()> {
    let listen = |kind| signal(kind).context("listening for signals");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut reload = listen(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = reload.recv() => match read_world(&args.world) {
                Ok(world) => simulator.edit(|current: &mut World| *current = world),
                Err(error) => eprintln!("aws-simulator: the world stays as it is: {:#}", anyhow::Error::from(error)),
            },
        }
    }
}
