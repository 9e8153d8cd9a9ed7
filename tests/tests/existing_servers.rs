//! Connections of real clients to real servers, and a fault that comes and goes. The test bed itself first: what is
//! counted as real, lost or cut later on is an answer of every server to every client.

use std::{thread, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use httpfault_common::contract::Counters;
use httpfault_tests::{
    agent::{Agent, experiment, status_of},
    clients::{Client, Task},
    load::{Load, Outcome, Plan, Request, Style},
    servers::{Protocol, Server},
    site::{PORT, Site},
    tls::Tls,
    wait,
    wire::{Broken, Connection, Response},
};

/// How long an answer takes that is under way when the fault starts: longer than any silence that `drain` takes for the
/// end of an answer.
const SLOW: Duration = Duration::from_millis(3500);
const SLOW_PATH: &str = "slow/3500";

/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(40);

/// Looks at every server, and tells all that fail.
fn each(servers: impl IntoIterator<Item = Server>, look: impl Fn(Server) -> Result<()>) -> Result<()> {
    let fails = |server: Server| look(server).err().map(|error| format!("{server}: {error:#}"));
    let failures: Vec<String> = servers.into_iter().filter_map(fails).collect();
    ensure!(failures.is_empty(), "\n{}", failures.join("\n"));
    Ok(())
}

fn speaking(protocol: Protocol) -> impl Iterator<Item = Server> {
    Server::ALL.into_iter().filter(move |server| server.speaks(protocol))
}

/// Those with something to drain.
fn keeping() -> impl Iterator<Item = Server> {
    speaking(Protocol::Http1).filter(|server| server.keeps_connections())
}

fn drain(site: &Site) -> Result<Agent> {
    site.inject(&experiment("drain"), &["--existing-connections", "drain"])
}

/// Waits until so many connections were drained.
fn drained(experiment: &str, count: u64) -> Result<()> {
    wait::until(&format!("{count} connections to be drained"), Duration::from_secs(10), || {
        let status = status_of(experiment)?.context("the agent has no such experiment")?;
        let drained: u64 = status.targets.iter().map(|target| target.counters.existing_drained).sum();
        Ok(drained >= count)
    })
    .map(drop)
}

fn counters(agent: Agent) -> Result<Counters> {
    Ok(agent.terminate()?.target()?.counters)
}

#[test]
fn every_client_is_answered_by_every_server() -> Result<()> {
    each(Server::ALL, |server| {
        let site = Site::serve(server)?;
        let clients = Client::ALL.into_iter().filter(|client| server.speaks(client.protocol()));
        // In turn over both families.
        for (client, to) in clients.zip(site.addresses().into_iter().cycle()) {
            let path = if client == Client::Grpc { "Slow/1" } else { "" };
            let task = Task { to, path, connections: 2, pause: Duration::from_millis(5) };
            let running = client.start(&site.client, task)?;
            running.await_more(Outcome::Real, 20)?;
            let (tally, remarks) = running.stop()?;
            ensure!(tally.count(Outcome::Real) == tally.samples.len(), "{client}: {remarks:?}");
        }
        Ok(())
    })
}

#[test]
fn every_server_answers_slow_streamed_and_split_requests() -> Result<()> {
    each(speaking(Protocol::Http1), |server| {
        let site = Site::serve(server)?;
        for request in [
            Request::Get("/slow/30"),
            Request::Get("/stream/3/10"),
            Request::Post(1000),
            Request::SplitPost(1000),
        ] {
            let plan = Plan::new(site.v4(), 4, Style::KeepAlive).and(site.v6()).request(request);
            let load = Load::start(&site.client, plan);
            load.await_real(20)?;
            let tally = load.stop()?;
            let real = tally.count(Outcome::Real);
            ensure!(real == tally.samples.len(), "{request:?}: {}", tally.summary());
        }
        Ok(())
    })
}

/// Answers of one piece, and requests of many: nothing is lost, and every connection ends in time.
#[test]
fn drain_under_load_loses_and_cuts_nothing() -> Result<()> {
    each(keeping(), |server| {
        let site = Site::serve(server)?;
        let requests = [Request::Get("/"), Request::SplitPost(1000)];
        let loads = requests.map(|request| {
            let plan = Plan::new(site.v4(), 4, Style::KeepAlive).and(site.v6());
            Load::start(&site.client, plan.request(request).pause(PAUSE))
        });
        loads.iter().try_for_each(|load| load.await_real(12).map(drop))?;
        let id = experiment("drain");
        let agent = site.inject(&id, &["--existing-connections", "drain"])?;
        let faulted =
            drained(&id, 8).and_then(|()| loads.iter().try_for_each(|load| load.await_faults(40).map(drop)));
        counters(agent)?;
        let answered = loads.iter().try_for_each(|load| load.await_real(12).map(drop));
        let mut lost = Vec::new();
        for (request, load) in requests.iter().zip(loads) {
            let tally = load.stop()?;
            lost.extend((!tally.lost().is_empty()).then(|| format!("{request:?}: {}", tally.summary())));
        }
        ensure!(lost.is_empty(), "lost: {lost:?}");
        faulted.context("while the fault was on")?;
        answered.context("after the fault")?;
        Ok(())
    })
}

/// A request that comes while a connection is being ended: the application has not closed it yet, or not even noticed.
/// It is answered, or the connection ends in order before any byte of an answer.
#[test]
fn drain_loses_no_request_that_comes_when_a_connection_ends() -> Result<()> {
    let late = Duration::from_millis(100);
    for (after_answer, before_close) in [(Duration::ZERO, late), (late, Duration::ZERO)] {
        let site = Site::serve_late(after_answer, before_close)?;
        let mut connections = Vec::new();
        for to in site.addresses().into_iter().cycle().take(6) {
            let mut connection = site.open(to)?;
            for _ in 0..3 {
                ensure!(connection.get("/")?.is_real());
            }
            connections.push(connection);
        }
        let agent = drain(&site)?;
        let clients = connections.into_iter().map(|connection| thread::spawn(|| uploads(connection)));
        let clients: Vec<_> = clients.collect();
        let ends: Vec<Broken> = clients.into_iter().filter_map(|client| client.join().ok()).collect();
        let existing = counters(agent)?;
        ensure!(ends == [Broken::Closed; 6], "late by {after_answer:?}, {before_close:?}: {ends:?}");
        ensure!(existing.existing_drained == 6, "{existing:?}");
    }
    Ok(())
}

/// The fault is over while connections are being ended, of an application that takes its time to close.
#[test]
fn drain_that_is_broken_off_hangs_no_client() -> Result<()> {
    let site = Site::serve_late(Duration::ZERO, Duration::from_secs(60))?;
    let open = |to| site.open(to);
    let mut connections =
        site.addresses().into_iter().cycle().take(8).map(open).collect::<Result<Vec<_>>>()?;
    let agent = drain(&site)?;
    for _ in 0..4 {
        connections.iter_mut().try_for_each(|connection| connection.get("/").map(drop))?;
    }
    wait::pause(Duration::from_millis(30));
    counters(agent)?;
    for connection in &mut connections {
        connection.patience(Duration::from_secs(5))?;
        let answer = connection.get("/");
        ensure!(answer == Err(Broken::Closed) || answer.as_ref().is_ok_and(Response::is_real), "{answer:?}");
    }
    Ok(())
}

/// Uploads in two pieces until the connection ends, each while an application that is late is asleep; how it ended.
fn uploads(mut connection: Connection) -> Broken {
    let head = b"POST /upload HTTP/1.1\r\nHost: app\r\nContent-Length: 10\r\n\r\n";
    let mut upload = || {
        connection.get("/")?;
        wait::pause(Duration::from_millis(50));
        connection.send(head)?;
        wait::pause(Duration::from_millis(80));
        match connection.send(b"0123456789") {
            // In order; what was answered before is to be read.
            Err(Broken::Closed) => {}
            sent => sent?,
        }
        let answer = connection.response("POST")?;
        if answer.text() == "received 10\n" { Ok(()) } else { Err(Broken::Truncated) }
    };
    loop {
        if let Err(end) = upload() {
            return end;
        }
    }
}

/// Pauses within an answer are no end of it.
#[test]
fn drain_does_not_cut_answers_that_come_in_pieces() -> Result<()> {
    each(keeping(), |server| {
        let site = Site::serve(server)?;
        let plan = Plan::new(site.v4(), 4, Style::KeepAlive).and(site.v6()).pause(PAUSE);
        let load = Load::start(&site.client, plan.request(Request::Get("/stream/5/30")));
        load.await_real(12)?;
        let agent = drain(&site)?;
        load.await_answers(60)?;
        counters(agent)?;
        load.await_real(12)?;
        let tally = load.stop()?;
        ensure!(tally.lost().is_empty(), "{}", tally.summary());
        Ok(())
    })
}

#[test]
fn drain_waits_for_a_first_answer_that_takes_its_time() -> Result<()> {
    each([Server::Nginx, Server::PythonThreads, Server::Go, Server::Node], |server| {
        let site = Site::serve(server)?;
        let mut connections =
            site.addresses().map(|to| site.open(to)).into_iter().collect::<Result<Vec<_>>>()?;
        for connection in &mut connections {
            connection.send(format!("GET /{SLOW_PATH} HTTP/1.1\r\nHost: app\r\n\r\n").as_bytes())?;
        }
        let agent = drain(&site)?;
        for connection in &mut connections {
            let answer = connection.response("GET").context("the answer that was under way")?;
            ensure!(answer.is_real(), "{answer:?}");
        }
        counters(agent).map(drop)
    })
}

/// gRPC calls and HTTP/2 requests that are under way when the fault starts come to their end.
#[test]
fn drain_waits_for_streams_of_http2() -> Result<()> {
    let calls = [
        (Server::NginxH2, Client::H2load, SLOW_PATH),
        (Server::Grpc, Client::Grpc, "Slow/3500"),
        (Server::Grpc, Client::Grpc, "Stream/35/100"),
        // Fast answers on the same connection hide the slow one.
        (Server::Grpc, Client::Grpc, "Mixed/3500"),
    ];
    let mut failures = Vec::new();
    for (server, client, path) in calls {
        let site = Site::serve(server)?;
        let task = Task { to: site.v4(), path, connections: 2, pause: Duration::from_millis(20) };
        let running = client.start(&site.client, task)?;
        running.await_more(Outcome::Real, 2)?;
        // The next ones have begun, and are under way beyond the start of the fault.
        let agent = drain(&site)?;
        wait::pause(SLOW);
        counters(agent)?;
        let (tally, remarks) = running.stop()?;
        if !tally.lost().is_empty() {
            failures.push(format!("{server}, {client} {path}: {} {remarks:?}", tally.summary()));
        }
    }
    ensure!(failures.is_empty(), "\n{}", failures.join("\n"));
    Ok(())
}

/// A server that reacts badly to the end of its input; its clients find the fault while that is on.
#[test]
fn drain_hangs_no_client_of_hypercorn() -> Result<()> {
    let site = Site::serve(Server::Hypercorn)?;
    for client in [Client::Requests, Client::Undici] {
        let task = Task { to: site.v4(), path: "", connections: 4, pause: PAUSE };
        let running = client.start(&site.client, task)?;
        running.await_more(Outcome::Real, 20)?;
        let id = experiment("hypercorn");
        let agent = site.inject(&id, &["--existing-connections", "drain"])?;
        drained(&id, 4).with_context(|| client.name())?;
        running.await_more(Outcome::Fault, 40).context("while the fault was on")?;
        counters(agent)?;
        let (tally, remarks) = running.stop()?;
        ensure!(tally.lost().is_empty(), "{client}: {} {remarks:?}", tally.summary());
    }
    Ok(())
}

/// A message every now and then looks like a connection between two requests.
#[test]
fn drain_leaves_a_quiet_websocket_open() -> Result<()> {
    each(Server::ALL.into_iter().filter(|server| server.has_websocket()), |server| {
        let site = Site::serve(server)?;
        let mut socket = site.open(site.v4())?;
        upgrade(&mut socket)?;
        let load = Load::start(&site.client, Plan::new(site.v6(), 1, Style::KeepAlive).pause(PAUSE));
        load.await_real(3)?;
        let agent = drain(&site)?;
        load.await_faults(3).context("the connection that is used ends")?;
        // What else looks idle would have ended by then, too.
        wait::pause(Duration::from_millis(1500));
        echo(&mut socket).context("while the fault was on")?;
        let existing = counters(agent)?;
        echo(&mut socket).context("after the fault")?;
        ensure!(existing.existing_found == 2, "{existing:?}");
        let tally = load.stop()?;
        ensure!(tally.lost().is_empty(), "{}", tally.summary());
        Ok(())
    })
}

fn upgrade(socket: &mut Connection) -> Result<()> {
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let head = format!(
        "GET /ws HTTP/1.1\r\nHost: app\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    );
    socket.send(head.as_bytes())?;
    let answer = socket.response("GET")?;
    ensure!(answer.status == 101, "{answer:?}");
    echo(socket)
}

/// A text message, masked with zeros, so that it reads the same whether the server takes the mask off or not.
fn echo(socket: &mut Connection) -> Result<()> {
    socket.send(b"\x81\x84\0\0\0\0ping")?;
    let head = socket.exactly(2)?;
    let masked = head[1] & 0x80 != 0;
    let payload = socket.exactly(if masked { 8 } else { 4 })?;
    ensure!(payload.ends_with(b"ping"), "{head:?} {payload:?}");
    Ok(())
}

#[test]
fn drain_leaves_tls_alone() -> Result<()> {
    let site = Site::serve(Server::NginxTls)?;
    let mut inside = Tls::open(&site.client, site.v4())?;
    ensure!(inside.get("/")?.is_real());
    let agent = drain(&site)?;
    wait::pause(Duration::from_millis(1500));
    ensure!(inside.get("/").context("while the fault was on")?.is_real());
    counters(agent)?;
    ensure!(inside.get("/").context("after the fault")?.is_real());
    Ok(())
}

/// What `reset` must not touch: the agent's own connections to the application.
#[test]
fn reset_spares_forwarded_spared_and_excluded_requests() -> Result<()> {
    let site = Site::take("resetother")?;
    let mut failures = Vec::new();
    for more in [
        ["--modify-response-body", "false"],
        ["--percent", "0"],
        ["--path", "/nowhere"],
        ["--exclude-path", "/"],
    ] {
        let all = [&["--existing-connections", "reset"], &more[..]].concat();
        let agent = site.inject(&experiment("reset"), &all)?;
        let asked = (0..50).map(|_| site.get(site.v4(), "/"));
        let unanswered = asked.filter(|answer| answer.is_err()).count();
        let existing_reset = counters(agent)?.existing_reset;
        if (unanswered, existing_reset) != (0, 0) {
            failures.push(format!("{more:?}: {unanswered} of 50 without an answer, {existing_reset} reset"));
        }
    }
    ensure!(failures.is_empty(), "\n{}", failures.join("\n"));
    Ok(())
}

#[test]
fn reset_spares_new_connections_that_speak_tls() -> Result<()> {
    let site = Site::serve(Server::NginxTls)?;
    let agent = site.inject(&experiment("reset"), &["--existing-connections", "reset"])?;
    let mut inside = Tls::open(&site.client, (site.v4().ip(), PORT).into())?;
    ensure!(inside.get("/")?.is_real());
    let existing = counters(agent)?;
    if existing.existing_reset != 0 {
        bail!("{existing:?}");
    }
    Ok(())
}
