//! Clients that want to use the agent up. Whatever they send and do not read: its memory stays below a bound, other
//! clients get the fault meanwhile, it ends when it has to, and the application answers afterwards.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use httpfault_common::contract::RemovedReason;
use httpfault_tests::{
    agent::experiment,
    clean::Traces,
    command::output,
    http2::{END_STREAM, GET, NEWEST, PREFACE, frame, kind, large_header, request, setting},
    parts::Parts,
    site::Site,
    wait,
};
use procfs::process::{LimitValue, Process};

const PROXY_PORT: u16 = 20000;
/// How long each flood lasts.
const FLOOD: Duration = Duration::from_secs(3);
/// Of one flood.
const CLIENTS: usize = 8;
/// How much of one connection's pipe may stand still.
const HELD_OFF: Duration = Duration::from_millis(200);
/// What the agent's processes may have beyond what they had without clients.
const MEMORY: u64 = 64 << 20;
/// For what happens within a few seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// One flooding client: what it sends first, what it sends then, again and again, and whether it reads.
struct Flood {
    first: Vec<u8>,
    /// The argument counts from 0.
    then: fn(u32) -> Vec<u8>,
    reads: bool,
}

/// Sends until the time is over, on a new connection whenever one is closed; how much went out.
fn flood(to: SocketAddr, flood: &Flood) -> Result<u64> {
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < FLOOD {
        let mut stream = TcpStream::connect(to).context("connecting")?;
        stream.set_write_timeout(Some(HELD_OFF))?;
        stream.set_read_timeout(Some(Duration::from_millis(1)))?;
        let mut pieces = [flood.first.clone()].into_iter().chain((0..).map(flood.then));
        while let (true, Some(piece)) = (start.elapsed() < FLOOD, pieces.next()) {
            match stream.write(&piece) {
                Ok(count) if count == piece.len() => sent += count as u64,
                // Held off, or told to go: no more can be said on this connection.
                Ok(_) | Err(_) => break,
            }
            if flood.reads {
                // Whatever it is.
                let _any = stream.read(&mut [0; 4096]);
            }
        }
        // It hangs there unread until the end of the flood.
        if start.elapsed() < FLOOD {
            wait::pause(HELD_OFF);
        }
    }
    Ok(sent)
}

/// A fault that is flooded by several clients at once.
fn survives(label: &str, what: &Flood) -> Result<()> {
    let site = Site::take(label)?;
    let before = Traces::now()?;
    let agent = site.inject(&experiment(label), &["--duration", "60"])?;
    assert_eq!(site.get(site.v4(), "/")?.status, 503);
    let parts = Parts::of(&agent)?;
    let idle = parts.memory();
    let (most, sent) = std::thread::scope(|scope| -> Result<(u64, u64)> {
        let clients: Vec<_> =
            (0..CLIENTS).map(|_| scope.spawn(|| site.client.run(|| flood(site.v4(), what)))).collect();
        let mut most = 0;
        while clients.iter().any(|client| !client.is_finished()) {
            most = most.max(parts.memory());
            // Others are served.
            assert_eq!(site.get(site.v4(), "/")?.status, 503);
            wait::pause(Duration::from_millis(20));
        }
        let mut sent = 0;
        for client in clients {
            sent += client.join().map_err(|_panic| anyhow::anyhow!("a client panicked"))??;
        }
        Ok((most, sent))
    })?;
    eprintln!("{label}: {sent} bytes sent, memory {idle} then {most}");
    assert!(sent > 10_000, "only {sent} bytes went out");
    assert!(most < idle + MEMORY, "{most} bytes of memory, {idle} without clients");
    let asked = Instant::now();
    let removed = agent.terminate()?.removed()?;
    assert_eq!(removed.reason, RemovedReason::Signal);
    assert!(asked.elapsed() < PATIENCE, "it ended only after {:?}", asked.elapsed());
    assert!(site.get(site.v4(), "/")?.is_real());
    before.none_but_these(&[(&site.target, PROXY_PORT)])
}

/// The beginning of an HTTP/2 connection.
fn begin(settings: &[u8]) -> Vec<u8> {
    [PREFACE, &frame(kind::SETTINGS, 0, 0, &[]), settings].concat()
}

/// Number of the n-th stream of a client.
fn stream(nth: u32) -> u32 {
    2 * nth + 1
}

/// CVE-2023-44487.
#[test]
fn rapid_reset() -> Result<()> {
    let then = |nth| {
        let one = |nth| {
            let cancel = 8_u32.to_be_bytes();
            [request(stream(nth), GET), frame(kind::RST_STREAM, 0, stream(nth), &cancel)].concat()
        };
        (nth * 100..nth * 100 + 100).flat_map(one).collect()
    };
    survives("reset", &Flood { first: begin(&[]), then, reads: true })
}

/// CVE-2024-27316 and its kin.
#[test]
fn endless_headers() -> Result<()> {
    let first = [begin(&[]), frame(kind::HEADERS, END_STREAM, 1, GET)].concat();
    // A header that is not kept in the table, and never the end.
    let then =
        |_| frame(kind::CONTINUATION, 0, 1, &[&[0, 1, b'x', 100][..], &[b'y'; 100]].concat().repeat(100));
    survives("endless", &Flood { first, then, reads: true })
}

/// CVE-2019-9515: each wants an acknowledgement, which is not read.
#[test]
fn settings() -> Result<()> {
    let then = |_| frame(kind::SETTINGS, 0, 0, &[]).repeat(1000);
    survives("settings", &Flood { first: begin(&[]), then, reads: false })
}

/// CVE-2019-9512.
#[test]
fn pings() -> Result<()> {
    let then = |_| frame(kind::PING, 0, 0, b"12345678").repeat(1000);
    survives("pings", &Flood { first: begin(&[]), then, reads: false })
}

/// CVE-2016-6581: a few bytes that stand for megabytes.
#[test]
fn header_bomb() -> Result<()> {
    let large = [GET, &large_header(3900)].concat();
    let first = [begin(&[]), request(stream(0), &large)].concat();
    let then = |nth| request(stream(nth + 1), &[GET, &[NEWEST; 16_000]].concat());
    survives("bomb", &Flood { first, then, reads: true })
}

/// CVE-2019-9517: answers that may not be sent.
#[test]
fn zero_windows() -> Result<()> {
    let initial_window_size = 4;
    let first = begin(&setting(initial_window_size, 0));
    let then = |nth| request(stream(nth), GET);
    survives("windows", &Flood { first, then, reads: true })
}

/// Requests without end on one connection, and no answer is read.
#[test]
fn never_reads() -> Result<()> {
    let then = |_| b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(500);
    survives("unread", &Flood { first: Vec::new(), then, reads: false })
}

/// Of many that do not even ask, and are kept.
#[test]
fn ten_thousand_idle_connections() -> Result<()> {
    const IDLE: usize = 10_000;
    // This process holds the other ends.
    let own = Process::myself()?;
    if let LimitValue::Value(hard) = own.limits()?.max_open_files.hard_limit {
        let soft = format!("--nofile={hard}:");
        output(Command::new("prlimit").args(["--pid", &own.pid.to_string(), &soft]))?;
    }
    let site = Site::take("idle")?;
    let before = Traces::now()?;
    let agent = site.inject(&experiment("idle"), &["--duration", "60"])?;
    let parts = Parts::of(&agent)?;
    let empty = parts.memory();
    let kept = site.client.run(|| {
        let connect = |_| TcpStream::connect(site.v4()).context("connecting");
        (0..IDLE).map(connect).collect::<Result<Vec<_>>>()
    })?;
    assert_eq!(site.get(site.v4(), "/")?.status, 503, "others are served");
    let each = parts.memory().saturating_sub(empty) / IDLE as u64;
    eprintln!("{each} bytes for each idle connection");
    assert!(each < 16 << 10, "{each} bytes for each idle connection");
    let asked = Instant::now();
    let removed = agent.terminate()?.removed()?;
    assert_eq!(removed.reason, RemovedReason::Signal);
    assert!(asked.elapsed() < PATIENCE, "it ended only after {:?}", asked.elapsed());
    assert!(site.get(site.v4(), "/")?.is_real());
    drop(kept);
    before.none_but_these(&[(&site.target, PROXY_PORT)])
}
