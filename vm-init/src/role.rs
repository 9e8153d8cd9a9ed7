//! What runs inside the target: the application, and clients.

use std::{
    io::{self, Read, Write},
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    thread,
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{
    cgroup,
    http::{Answer, Connection, REAL},
};

/// What the application says when it listens.
pub(crate) const READY: &str = "ready";

/// What a client inside saw.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) answer: Answer,
    /// What getpeername() told.
    pub(crate) peer: SocketAddr,
}

/// The application: answers every GET on both families, and closes when its client does.
pub(crate) fn serve(group: &Path, port: u16) -> Result<()> {
    cgroup::join(group)?;
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
        .with_context(|| format!("listening on port {port}"))?;
    writeln!(io::stdout(), "{READY}")?;
    loop {
        let (stream, _client) = listener.accept().context("taking a connection")?;
        // A client that breaks off ends its own thread and nothing else.
        thread::spawn(move || answer_all(stream));
    }
}

/// A client: prints a [`Seen`].
pub(crate) fn ask(group: &Path, to: SocketAddr) -> Result<()> {
    cgroup::join(group)?;
    let mut connection = Connection::patient(to).with_context(|| format!("connecting to {to}"))?;
    let answer = connection.get().with_context(|| format!("asking {to}"))?;
    let peer = connection.stream.peer_addr().context("asking for the peer's name")?;
    serde_json::to_writer(io::stdout(), &Seen { answer, peer }).context("telling what was seen")
}

fn answer_all(mut stream: TcpStream) -> io::Result<()> {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{REAL}", REAL.len());
    let mut unread = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        unread.extend_from_slice(&piece[..count]);
        while let Some(bytes) = request(&unread)? {
            unread.drain(..bytes);
            stream.write_all(answer.as_bytes())?;
        }
    }
}

/// Length of the request at the start of these bytes, once it is complete. None here has a body.
fn request(bytes: &[u8]) -> io::Result<Option<usize>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    match httparse::Request::new(&mut headers).parse(bytes).map_err(io::Error::other)? {
        httparse::Status::Complete(length) => Ok(Some(length)),
        httparse::Status::Partial => Ok(None),
    }
}
