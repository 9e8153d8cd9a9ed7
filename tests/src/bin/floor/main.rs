//! The floor under the bench's rows: the least that a server can do behind the agent's steering. One thread, one epoll
//! instance, prebuilt answers: accept4, recv, send, close, with epoll only where a request is not there yet. It reads
//! nothing of a request but where it ends, has no timeout and no limit, and is no server that anybody could use.

mod http1;
mod http2;
mod steering;

use std::{collections::HashMap, os::fd::OwnedFd};

use anyhow::{Context, Result};
use clap::Parser;
use rustix::{
    event::epoll,
    io::Errno,
    net::{
        AddressFamily, Ipv4Addr, RecvFlags, SendFlags, SocketAddrV4, SocketFlags, SocketType, accept_with,
        bind, listen, recv, send, socket_with,
    },
};

/// A bare epoll loop in the place of an agent's responder.
#[derive(Debug, Parser)]
struct Args {
    /// Processes of the agent whose steering it takes over
    #[arg(long, required = true, value_name = "PID")]
    agent: Vec<i32>,
    /// Where it listens on loopback, in the namespace that it was started in
    #[arg(long)]
    port: u16,
}

/// The listener's number in epoll; connections have their descriptor's.
const LISTENER: u64 = u64::MAX;
/// Connections that are accepted before others have their turn.
const BATCH: usize = 64;

/// One client.
struct Connection {
    socket: OwnedFd,
    speaks: Option<http2::Speaker>,
}

/// What follows what was read.
enum Next {
    Wait,
    Close,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let listener = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).context("a socket")?;
    bind(&listener, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, args.port)).context("binding it")?;
    listen(&listener, 4096).context("listening")?;
    steering::take(&args.agent, &listener)?;
    serve(&listener)
}

fn serve(listener: &OwnedFd) -> Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("creating an epoll instance")?;
    watch(&epoll, listener, LISTENER)?;
    let mut connections = HashMap::new();
    let mut events = Vec::with_capacity(1024);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        events.clear();
        epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None).context("waiting")?;
        for event in &events {
            let number = event.data.u64();
            if number == LISTENER {
                accept(listener, &epoll, &mut connections, &mut buffer)?;
            } else if let Some(connection) = connections.get_mut(&number)
                && matches!(connection.read(&mut buffer), Next::Close)
            {
                connections.remove(&number);
            }
        }
    }
}

fn accept(
    listener: &OwnedFd,
    epoll: &OwnedFd,
    connections: &mut HashMap<u64, Connection>,
    buffer: &mut [u8],
) -> Result<()> {
    for _ in 0..BATCH {
        let socket = match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(socket) => socket,
            Err(Errno::AGAIN) => break,
            Err(Errno::CONNABORTED) => continue,
            Err(error) => return Err(error).context("accepting"),
        };
        let mut connection = Connection { socket, speaks: None };
        if matches!(connection.read(buffer), Next::Wait) {
            use std::os::fd::AsRawFd as _;
            let number = u64::try_from(connection.socket.as_raw_fd()).context("a descriptor is negative")?;
            watch(epoll, &connection.socket, number)?;
            connections.insert(number, connection);
        }
    }
    Ok(())
}

fn watch(epoll: &OwnedFd, socket: &OwnedFd, number: u64) -> Result<()> {
    epoll::add(epoll, socket, epoll::EventData::new_u64(number), epoll::EventFlags::IN)
        .context("watching a socket")
}

impl Connection {
    /// Reads once and answers. A client that broke off, or does not read, is let go of.
    fn read(&mut self, buffer: &mut [u8]) -> Next {
        let read = match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
            Ok((read, _)) => read,
            Err(Errno::AGAIN) => return Next::Wait,
            Err(_) => return Next::Close,
        };
        let input = &buffer[..read];
        if self.speaks.is_none() && input.starts_with(http2::PREFACE) {
            self.speaks = Some(http2::Speaker::default());
        }
        let (answer, next) = match &mut self.speaks {
            _ if read == 0 => return Next::Close,
            Some(speaker) => (speaker.answer(input), Next::Wait),
            None => http1::answer(input),
        };
        match send(&self.socket, answer, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == answer.len() => next,
            _ => Next::Close,
        }
    }
}
