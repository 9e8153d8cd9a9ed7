//! A client inside a task: sends GET requests over one connection and prints, as one JSON object for each, what it
//! saw: the peer as `getpeername` tells it, status, marker and body, or how it broke.

use std::{
    io::{self, Write, stdin, stdout},
    net::{SocketAddr, TcpStream},
};

use anyhow::{Context, Result};
use clap::Parser;
use httpfault_tests::wire::{Broken, Connection};
use serde_json::json;

#[derive(Debug, Parser)]
struct Args {
    /// Address and port to connect to.
    to: SocketAddr,
    #[arg(long, default_value = "/")]
    path: String,
    /// After the first request, one more for each line on standard input, over the same connection.
    #[arg(long)]
    keep: bool,
    /// Ask nothing: open so many connections, print their number, and keep them until standard input ends.
    #[arg(long, value_name = "N", conflicts_with_all = ["path", "keep"])]
    open: Option<usize>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(number) = args.open {
        return hold(args.to, number);
    }
    let mut connection = match Connection::open(args.to) {
        Ok(connection) => connection,
        Err(broken) => return report(&json!({ "broken": broken.to_string() })),
    };
    report(&seen(&mut connection, &args.path))?;
    if args.keep {
        for line in stdin().lines() {
            line.context("reading standard input")?;
            report(&seen(&mut connection, &args.path))?;
        }
    }
    Ok(())
}

fn hold(to: SocketAddr, number: usize) -> Result<()> {
    let open = (0..number).map(|_| TcpStream::connect(to)).collect::<Result<Vec<_>, _>>();
    let open = open.with_context(|| format!("opening {number} connections to {to}"))?;
    report(&json!(open.len()))?;
    io::copy(&mut stdin(), &mut io::sink()).context("waiting for the end of standard input")?;
    Ok(())
}

fn seen(connection: &mut Connection, path: &str) -> serde_json::Value {
    let asked =
        connection.get(path).and_then(|response| Ok((response, connection.peer().map_err(Broken::from)?)));
    match asked {
        Ok((response, peer)) => json!({
            "peer": peer.to_string(),
            "status": response.status,
            "marker": response.injected_by(),
            "real": response.is_real(),
            "body": response.text(),
        }),
        Err(broken) => json!({ "broken": broken.to_string() }),
    }
}

fn report(line: &serde_json::Value) -> Result<()> {
    writeln!(stdout(), "{line}").context("writing to standard output")
}
