//! A namespace with many sockets in it.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use httpfault_tests::{command::built, site::Site};

use crate::{
    contenders::{OTHER_PORT, Program},
    size::Size,
};

/// Leaves sockets in TIME_WAIT, and has a program open connections to another port of the application: what this one has
/// open would be closed again in each program that it starts, in the middle of what is measured.
pub(crate) fn fill(site: &Site, size: &Size) -> Result<Program> {
    site.target.run(|| leave_waiting(size.waiting))?;
    let to = SocketAddr::new(site.v4().ip(), OTHER_PORT);
    let mut client = Command::new(built("fixture-client")?);
    client.arg(to.to_string()).arg("--open").arg(size.established.to_string());
    client.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut open = Program(site.client.run(|| client.spawn().context("starting fixture-client"))?);
    let mut said = String::new();
    let stdout = open.0.stdout.take().context("fixture-client has no standard output")?;
    BufReader::new(stdout).read_line(&mut said).context("waiting for connections to stay")?;
    ensure!(
        said.trim() == size.established.to_string(),
        "{} connections are wanted: {said}",
        size.established
    );
    Ok(open)
}

/// Opens and closes connections in the calling thread's namespace; whoever closes first keeps its end in TIME_WAIT.
fn leave_waiting(number: usize) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).context("listening")?;
    let port = listener.local_addr()?.port();
    for serial in 0..number {
        // A client has at most 28,000 ports for each destination.
        let block = u8::try_from(serial / 20_000).context("too many sockets")?;
        let client = TcpStream::connect((Ipv4Addr::new(127, 0, block, 1), port)).context("connecting")?;
        let (served, _) = listener.accept().context("accepting")?;
        drop(served);
        drop(client);
    }
    Ok(())
}
