//! Whether this kernel takes connections as it has to: tried on a pair of sockets of this process's own.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use httpfault_common::abi::existing::{HOLE_KEY, note, state};
use socket2::{SockRef, Socket};

use super::account::{Account, await_landing};
use crate::datapath::existing::{Gates, Notes};

/// How long the kernel may take for a step that it does at once, unless its own thread waits for a processor.
const WITHIN: Duration = Duration::from_secs(3);
/// This process is before others; while it looks without a pause that thread gets none.
const LOOK_EVERY: Duration = Duration::from_micros(100);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

/// Prepares the programs for taking, and takes, answers and gives back once.
pub(crate) fn prepare(gates: &mut Gates, notes: &mut Notes) -> anyhow::Result<()> {
    gates.attach_verdict().context("this kernel has no stream verdicts (CONFIG_BPF_STREAM_PARSER)")?;
    let (outer, hole) = pair()?;
    let broken = hole.try_clone()?;
    gates.dig_hole(hole, outer, HOLE_KEY)?;
    broken.shutdown(Shutdown::Write)?;
    // What is redirected there first can't be sent; from then on the kernel knows the hole to be broken, and tells.
    swallow(gates, notes).context("handing a request over")?;
    let begun = Instant::now();
    while broken.take_error()?.is_none() {
        ensure!(begun.elapsed() < WITHIN, "redirected bytes were not swallowed");
        thread::park_timeout(LOOK_EVERY);
    }
    swallow(gates, notes).context("taking and giving back on a connection of its own")
}

/// One connection: its first request becomes a note and wakes nobody; when it is given back the next one is read.
fn swallow(gates: &mut Gates, notes: &mut Notes) -> anyhow::Result<()> {
    let (client, application) = pair()?;
    let (mut client, mut reader) = (TcpStream::from(client), TcpStream::from(application.try_clone()?));
    let cookie = application.cookie()?;
    gates.watch(&application, cookie, state::WATCHED)?;
    await_landing().context("waiting for what is on its way")?;
    let account = Account::open(&application, &gates.received()?)?.context("counting what was received")?;
    gates.take(&application, cookie)?;
    client.write_all(REQUEST)?;
    let begun = Instant::now();
    let noted = loop {
        match notes.next() {
            Some((told, bytes)) if told.cookie == cookie && told.what == note::DATA => break bytes,
            _ => ensure!(begun.elapsed() < WITHIN, "a request was not handed over"),
        }
        thread::park_timeout(LOOK_EVERY);
    };
    ensure!(noted == REQUEST, "a request was handed over wrongly");
    let mut buffer = [0; 64];
    reader.set_nonblocking(true)?;
    ensure!(reader.read(&mut buffer).is_err(), "a request reached the application nevertheless");
    let seen = gates.seen(cookie).context("a connection of its own is not watched")?;
    ensure!(
        seen.eaten == REQUEST.len() as u64 && account.covers(seen.eaten, &seen) && !account.covers(0, &seen),
        "what was let in and what was eaten do not match"
    );
    gates.untake(cookie);
    gates.unwatch(&application, cookie)?;
    client.write_all(REQUEST)?;
    reader.set_nonblocking(false)?;
    SockRef::from(&reader).set_read_timeout(Some(WITHIN))?;
    let read = reader.read(&mut buffer).context("reading after it was given back")?;
    ensure!(buffer.get(..read) == Some(REQUEST), "something else was read after it was given back");
    Ok(())
}

fn pair() -> anyhow::Result<(Socket, Socket)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening on loopback")?;
    let client = TcpStream::connect(listener.local_addr()?).context("connecting on loopback")?;
    let (application, _) = listener.accept().context("accepting on loopback")?;
    Ok((client.into(), application.into()))
}
