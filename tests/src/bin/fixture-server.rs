//! The application in the tests' targets: see `httpfault_tests::fixture` for what it answers. Without a port it only
//! waits, as the ECS pause container does. SIGTERM ends it.

use std::sync::{Arc, atomic::AtomicU64};

use anyhow::{Context, Result};
use clap::Parser;
use httpfault_tests::fixture::{Kind, count, serve};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Parser)]
struct Args {
    /// Where the application listens.
    #[arg(long)]
    port: Option<u16>,
    /// Where it tells how many requests it has seen.
    #[arg(long, requires = "port")]
    count_port: Option<u16>,
    #[command(flatten)]
    kind: Kind,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let served = Arc::new(AtomicU64::new(0));
    let application = async {
        match args.port {
            Some(port) => serve(port, &args.kind, Arc::clone(&served)).await,
            None => std::future::pending().await,
        }
    };
    let counting = async {
        match args.count_port {
            Some(port) => count(port, Arc::clone(&served)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = application => ended,
        ended = counting => ended,
        _ = terminate.recv() => Ok(()),
    }
}
