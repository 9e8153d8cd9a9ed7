//! Connections that clients hold when the fault starts, in each mode of EXISTING_CONNECTIONS.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use httpfault_common::contract::Counters;
use httpfault_tests::{
    agent::{Agent, experiment, status_of},
    clean::Traces,
    docker::{Instance, Plan},
    http2,
    load::{self, Load, Outcome, Style},
    parts::Parts,
    site::{COUNT_PORT, Site, TARGET_V4},
    wait,
    wire::{Broken, Connection, Response},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// `count` connections over both families, each with one answered request behind it.
fn pool(site: &Site, count: usize) -> Result<Vec<Connection>> {
    let addresses = site.addresses();
    let open = |index: usize| {
        let mut connection = site.open(addresses[index % addresses.len()])?;
        assert!(connection.get("/")?.is_real());
        Ok(connection)
    };
    (0..count).map(open).collect()
}

fn assert_faulted(response: &Response, experiment: &str) {
    assert_eq!((response.status, response.injected_by()), (503, Some(experiment)), "{response:?}");
}

fn counters(agent: Agent) -> Result<Counters> {
    Ok(agent.terminate()?.target()?.counters)
}

/// A request over HTTP/1 whose answer ends the connection at the latest one second after it.
fn answered_then_ended(connection: &mut Connection) -> Result<()> {
    assert!(
        connection.get("/")?.is_real(),
        "one that says nothing is left alone, its next request is answered"
    );
    let unexpected = connection.rest().context("waiting for an orderly close")?;
    assert!(unexpected.is_empty(), "{:?}", String::from_utf8_lossy(&unexpected));
    Ok(())
}

#[test]
fn drain_ends_connections_in_order_after_an_answer() -> Result<()> {
    let site = Site::take("drain")?;
    let mut pool = pool(&site, 6)?;
    let id = experiment("drain");
    let agent = site.inject(&id, &["--existing-connections", "drain"])?;
    for connection in &mut pool {
        answered_then_ended(connection)?;
    }
    assert_faulted(&site.get(site.v4(), "/")?, &id);
    let counters = counters(agent)?;
    let existing = (counters.existing_found, counters.existing_drained, counters.existing_still_open);
    assert_eq!(existing, (6, 6, 0), "{counters:?}");
    assert_eq!(counters.existing_escaped, 6, "{counters:?}");
    Ok(())
}

/// What a connection speaks is known only from what its client says, and nothing is done to one that is silent.
#[test]
fn drain_leaves_silent_connections_websockets_and_tls_alone() -> Result<()> {
    let site = Site::take("drainquiet")?;
    let mut silent = pool(&site, 2)?;
    let mut websocket = site.open(site.v4())?;
    let upgrade =
        ["Upgrade: websocket", "Connection: upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];
    assert_eq!(websocket.ask("GET", "/ws", &upgrade, b"")?.status, 101);
    let mut message = |byte: u8| -> Result<()> {
        // A masked text frame of five bytes (RFC 6455 section 5.2); the fixture echoes bytes.
        let frame = [0x81, 0x85, 0, 0, 0, 0, byte, byte, byte, byte, byte];
        websocket.send(&frame)?;
        assert_eq!(websocket.exactly(frame.len())?, frame);
        Ok(())
    };
    message(b'a')?;
    let id = experiment("drainquiet");
    let agent = site.inject(&id, &["--existing-connections", "drain", "--duration", "3"])?;
    message(b'b')?;
    let report = agent.ended()?.target()?;
    message(b'c')?;
    for connection in &mut silent {
        assert!(connection.get("/")?.is_real(), "it was not touched");
    }
    let counters = report.counters;
    let existing = (counters.existing_found, counters.existing_websocket, counters.existing_still_open);
    assert_eq!(existing, (3, 1, 3), "{counters:?}");
    assert_eq!((counters.existing_drained, counters.existing_escaped), (0, 0), "{counters:?}");
    Ok(())
}

/// The first request follows connect at once, and its answer takes longer than any silence that is waited for.
#[test]
fn drain_waits_for_a_slow_first_answer() -> Result<()> {
    let site = Site::take("drainslow")?;
    let mut slow: Vec<Connection> = Vec::new();
    for to in site.addresses() {
        let mut connection = site.open(to)?;
        connection.send(b"GET /slow/4000 HTTP/1.1\r\nHost: app\r\n\r\n")?;
        slow.push(connection);
    }
    let agent = site.inject(&experiment("drainslow"), &["--existing-connections", "drain"])?;
    for connection in &mut slow {
        assert!(connection.response("GET").context("waiting for the slow answer")?.is_real());
    }
    let counters = counters(agent)?;
    assert_eq!((counters.existing_found, counters.existing_drained), (2, 0), "{counters:?}");
    Ok(())
}

/// Frames that the application has not read: there is no moment for a GOAWAY.
#[test]
fn drain_leaves_busy_http2_open_and_says_so() -> Result<()> {
    let site = Site::take("drainh2")?;
    let application = Pid::from_raw(site.pid().cast_signed());
    let mut connection = site.open(site.v4())?;
    let settings = http2::frame(http2::kind::SETTINGS, 0, 0, &[]);
    connection.send(&[http2::PREFACE, &settings, &http2::request(1, http2::GET)].concat())?;
    connection.exactly(settings.len()).context("waiting for the application's settings")?;
    let agent = site.inject(&experiment("drainh2"), &["--existing-connections", "drain"])?;
    kill(application, Signal::SIGSTOP).context("stopping the application")?;
    connection.send(&http2::request(3, http2::GET))?;
    // What is quiet would have been told by then.
    wait::pause(Duration::from_millis(500));
    let removed = agent.terminate()?.removed()?;
    kill(application, Signal::SIGCONT).context("letting the application go on")?;
    let counters = &removed.targets.first().context("a report of no target")?.counters;
    assert_eq!((counters.existing_drained, counters.existing_still_open), (0, 1), "{counters:?}");
    let told = "1 existing HTTP/2 connection(s) never paused";
    assert!(removed.warnings.iter().any(|warning| warning.contains(told)), "{:?}", removed.warnings);
    // Its answer may stand behind those to the first ones.
    connection.send(&http2::frame(http2::kind::PING, 0, 0, &[7; 8]))?;
    let pong = http2::frame(http2::kind::PING, 1, 0, &[7; 8]);
    let mut seen = Vec::new();
    while !seen.ends_with(&pong) {
        seen.extend(connection.exactly(1).context("after the fault")?);
    }
    Ok(())
}

#[test]
fn drain_does_not_cut_a_download() -> Result<()> {
    let instance = Instance::take()?;
    let web = Plan::nginx("web").publish(8080, 80).serve(&instance, 80)?;
    let mut download = instance.outside.run(|| Ok(Connection::open(Instance::published(8080))?))?;
    let mut idle = instance.outside.run(|| Ok(Connection::open(Instance::published(8080))?))?;
    assert!(idle.get("/")?.is_real());
    download.send(b"GET /big HTTP/1.1\r\nHost: app\r\n\r\n")?;
    assert!(!download.exactly(1000)?.is_empty());

    let id = experiment("download");
    let agent = instance.inject(
        ["--container", "web"],
        &id,
        &["--existing-connections", "drain", "--duration", "4"],
    )?;
    answered_then_ended(&mut idle)?;
    assert_faulted(&instance.get(Instance::published(8080), "/")?, &id);
    let report = agent.ended()?.target()?;
    assert_eq!((report.counters.existing_found, report.counters.existing_drained), (2, 1), "{report:?}");
    assert_eq!(report.counters.existing_still_open, 1, "{report:?}");

    // 4 MB and the response head, of which 1000 bytes were read.
    let rest = download.exactly(4 * 1024 * 1024 - 1000).context("the download goes on after the fault")?;
    assert!(rest.ends_with(&[0; 1024]));
    drop(web);
    Ok(())
}

/// Connections that pause between requests are drained. Those that hardly pause may be too busy for it, and then are
/// counted; in neither case is a request lost.
#[test]
fn drain_under_load_loses_no_request() -> Result<()> {
    let site = Site::take("drainload")?;
    for (pause, drained) in [(40, true), (2, false)] {
        let pause = Duration::from_millis(pause);
        let load = Load::start(&site.client, load::Plan::new(site.v4(), 8, Style::KeepAlive).pause(pause));
        load.await_real(100)?;
        let id = experiment("drainload");
        let agent = site.inject(&id, &["--existing-connections", "drain"])?;
        if drained {
            load.await_faults(100)?;
        } else {
            load.await_answers(1000)?;
        }
        let existing = counters(agent)?;
        load.await_real(100)?;
        let tally = load.stop()?;
        assert!(tally.lost().is_empty(), "pause {pause:?}: {} {:?}", tally.summary(), tally.lost());
        let (open, known) =
            (existing.existing_still_open, existing.existing_drained + existing.existing_still_open);
        assert_eq!((existing.existing_found, known), (8, 8), "pause {pause:?}: {existing:?}");
        assert!(open == 0 || !drained, "pause {pause:?}: {existing:?}");
    }
    Ok(())
}

#[test]
fn keep_leaves_them_alone_and_counts_them() -> Result<()> {
    let site = Site::take("keep")?;
    let mut pool = pool(&site, 4)?;
    let id = experiment("keep");
    let agent = site.inject(&id, &["--existing-connections", "keep"])?;
    for connection in &mut pool {
        assert!(connection.get("/")?.is_real());
    }
    assert_faulted(&site.get(site.v6(), "/")?, &id);
    for connection in &mut pool {
        assert!(connection.get("/")?.is_real());
    }
    let counters = counters(agent)?;
    let existing = (counters.existing_found, counters.existing_still_open, counters.existing_drained);
    assert_eq!(existing, (4, 4, 0), "{counters:?}");
    for connection in &mut pool {
        assert!(connection.get("/")?.is_real());
    }
    Ok(())
}

#[test]
fn reset_resets_them_at_their_next_request() -> Result<()> {
    let site = Site::take("reset")?;
    let mut pool = pool(&site, 4)?;
    let mut other_port = site.open((TARGET_V4, COUNT_PORT).into())?;
    assert_eq!(other_port.get("/")?.status, 200);
    let id = experiment("reset");
    let agent = site.inject(&id, &["--existing-connections", "reset"])?;
    for connection in &mut pool {
        let start = Instant::now();
        assert_eq!(connection.get("/"), Err(Broken::Reset));
        assert!(start.elapsed() < Duration::from_secs(1), "the reset took {:?}", start.elapsed());
        let mut again = site.open(connection_target(&site, connection)?)?;
        assert_faulted(&again.get("/")?, &id);
        assert_faulted(&again.get("/")?, &id);
    }
    assert_eq!(other_port.get("/")?.status, 200, "a connection to another port is not touched");
    let counters = counters(agent)?;
    assert_eq!((counters.existing_found, counters.existing_reset), (4, 4), "{counters:?}");
    assert!(site.get(site.v4(), "/")?.is_real());
    Ok(())
}

/// Those that say nothing and those that wait for an answer, before the fault counts as on.
#[test]
fn reset_at_once_waits_for_no_request() -> Result<()> {
    let site = Site::take("resetonce")?;
    let mut pool = pool(&site, 4)?;
    let mut waiting = site.open(site.v4())?;
    waiting.send(b"GET /slow/60000 HTTP/1.1\r\nHost: app\r\n\r\n")?;
    let id = experiment("resetonce");
    let agent = site.inject(&id, &["--existing-connections", "reset", "--reset-at-once"])?;
    for connection in pool.iter_mut().chain([&mut waiting]) {
        assert_eq!(connection.response("GET"), Err(Broken::Reset));
    }
    assert_faulted(&site.get(site.v6(), "/")?, &id);
    let counters = counters(agent)?;
    let existing = (counters.existing_found, counters.existing_reset, counters.existing_still_open);
    assert_eq!(existing, (5, 5, 0), "{counters:?}");
    assert!(site.get(site.v4(), "/")?.is_real());
    Ok(())
}

/// Where to connect again: a reset socket has no peer any more, but its family.
fn connection_target(site: &Site, connection: &Connection) -> Result<std::net::SocketAddr> {
    Ok(if connection.local()?.is_ipv4() { site.v4() } else { site.v6() })
}

/// The agent's own connections to the application are no client's: what it forwards, spares and passes through is
/// answered by the application, however busy it is.
#[test]
fn reset_spares_the_connections_of_the_agent() -> Result<()> {
    let site = Site::take("resetown")?;
    for (label, more, real) in [
        ("resetspare", &["--percent", "0"][..], true),
        ("resetexclude", &["--exclude-path", "/"][..], true),
        ("resetforward", &["--modify-response-body", "false"][..], false),
    ] {
        let id = experiment(label);
        let more = [&["--existing-connections", "reset"], more].concat();
        let agent = site.inject(&id, &more)?;
        let load = Load::start(&site.client, load::Plan::new(site.v4(), 8, Style::KeepAlive));
        if real {
            load.await_real(400)?;
        } else {
            load.await_answers(400)?;
        }
        let tally = load.stop()?;
        let wanted = if real { Outcome::Real } else { Outcome::Fault };
        assert_eq!(tally.count(wanted), tally.samples.len(), "{label}: {}", tally.summary());
        assert_eq!(counters(agent)?.existing_reset, 0, "{label}");
    }
    Ok(())
}

/// The responder's own connections are no existing ones, however busy they are.
#[test]
fn reset_spares_new_connections() -> Result<()> {
    let site = Site::take("resetload")?;
    let id = experiment("resetload");
    let agent = site.inject(&id, &["--existing-connections", "reset"])?;
    let plan = load::Plan::new(site.v6(), 8, Style::KeepAlive);
    let load = Load::start(&site.client, plan);
    load.await_faults(2000)?;
    let tally = load.stop()?;
    assert_eq!(tally.count(Outcome::Fault), tally.samples.len(), "{}", tally.summary());
    assert_eq!(counters(agent)?.existing_reset, 0);
    Ok(())
}

/// Requests on connections that existed before get the fault on them, and afterwards the application's answers.
#[test]
fn take_answers_in_place_and_gives_back() -> Result<()> {
    let site = Site::take("take")?;
    let mut pool = pool(&site, 6)?;
    let id = experiment("take");
    let agent = site.inject(&id, &["--existing-connections", "take"])?;
    for connection in &mut pool {
        for _ in 0..3 {
            assert_faulted(&connection.get("/")?, &id);
        }
        assert_faulted(&connection.ask("POST", "/upload", &[], &[b'u'; 300_000])?, &id);
    }
    let mut idle = pool.pop().context("one that says nothing more")?;
    let counters = counters(agent)?;
    for connection in pool.iter_mut().chain([&mut idle]) {
        assert!(connection.get("/")?.is_real());
        assert!(connection.ask("POST", "/upload", &[], &[b'u'; 300_000])?.is_real());
    }
    let existing = (counters.existing_found, counters.existing_taken, counters.existing_given_back);
    assert_eq!(existing, (6, 6, 6), "{counters:?}");
    assert_eq!((counters.existing_escaped, counters.faulted), (0, 24), "{counters:?}");
    Ok(())
}

/// No request is lost, and what was taken is given back. Where all could be taken, no connection is closed, and from the
/// moment the fault counts as on until it counts as removed every answer is the fault. One that is hardly ever at rest may
/// be taken late, or drained: when its requests come in pieces, or when a busy host gives the keeper no moment.
#[test]
fn take_under_load_loses_nothing() -> Result<()> {
    let site = Site::take("takeload")?;
    let get = load::Request::Get("/");
    for (request, pause) in [(get, 0), (get, 5), (load::Request::SplitPost(1000), 0)] {
        let what = format!("{request:?}, pause {pause} ms");
        let plan = load::Plan::new(site.v4(), 16, Style::KeepAlive).and(site.v6());
        let plan = plan.request(request).pause(Duration::from_millis(pause));
        let load = Load::start(&site.client, plan);
        load.await_real(100)?;
        let mut faulted = Vec::new();
        let mut drained = 0;
        for _ in 0..3 {
            let id = experiment("takeload");
            let agent = site.inject(&id, &["--existing-connections", "take"])?;
            let on = Instant::now();
            let all = taken(&id)? == 16;
            load.await_faults(200)?;
            let off = Instant::now();
            let counters = counters(agent)?;
            assert_eq!(counters.existing_found, 16, "{what}: {counters:?}");
            assert!(counters.existing_taken > 0 || request != get, "{what}: {counters:?}");
            assert_eq!(counters.existing_given_back, counters.existing_taken, "{what}: {counters:?}");
            drained += counters.existing_drained;
            if all && request == get {
                assert_eq!(counters.existing_escaped, 0, "{what}: {counters:?}");
            }
            if all && counters.existing_escaped == 0 {
                faulted.push((on, off));
            }
            load.await_real(200)?;
        }
        let tally = load.stop()?;
        assert!(tally.lost().is_empty(), "{what}: {} {:?}", tally.summary(), tally.lost());
        if drained == 0 {
            assert_eq!(tally.count(Outcome::Retried), 0, "{what}: {}", tally.summary());
        }
        for (on, off) in faulted {
            let real = |sample: &&load::Sample| {
                sample.outcome == Outcome::Real && sample.sent >= on && sample.ended <= off
            };
            assert_eq!(tally.samples.iter().filter(real).count(), 0, "{what}: {}", tally.summary());
        }
    }
    Ok(())
}

/// Existing connections that the only target's requests are answered on.
fn taken(experiment: &str) -> Result<u64> {
    let status = status_of(experiment)?.context("the agent has no such experiment")?;
    Ok(status.targets.iter().map(|target| target.counters.existing_taken).sum())
}

/// A request of which only some are to be faulted goes the same way as on every other connection.
#[test]
fn take_spares_what_is_spared() -> Result<()> {
    let site = Site::take("takespare")?;
    let mut pool = pool(&site, 2)?;
    let id = experiment("takespare");
    let agent = site.inject(&id, &["--existing-connections", "take", "--path", "/api"])?;
    for connection in &mut pool {
        assert_faulted(&connection.get("/api/x")?, &id);
        assert!(connection.get("/")?.is_real());
        assert_faulted(&connection.get("/api/x")?, &id);
    }
    let counters = counters(agent)?;
    assert_eq!((counters.faulted, counters.spared), (4, 2), "{counters:?}");
    assert_eq!((counters.existing_taken, counters.existing_given_back), (2, 2), "{counters:?}");
    for connection in &mut pool {
        assert!(connection.get("/")?.is_real());
    }
    Ok(())
}

/// What the kernel has taken from the application when the agent is killed is answered, here by a responder that waits
/// for a keeper which had no processor meanwhile; then the application goes on.
#[test]
fn what_was_taken_is_answered_though_the_agent_is_killed() -> Result<()> {
    let site = Site::take("agentkill")?;
    let mut pool = pool(&site, 8)?;
    let id = experiment("agentkill");
    let agent = site.inject(&id, &["--existing-connections", "take"])?;
    for connection in &mut pool {
        assert_faulted(&connection.get("/")?, &id);
    }
    assert_eq!(taken(&id)?, 8);
    let parts = Parts::of(&agent)?;
    let keeper = agent.keeper()?;
    kill(keeper, Signal::SIGSTOP).context("stopping the keeper")?;
    let killed = pool
        .iter_mut()
        .try_for_each(|connection| Ok(connection.send(b"GET / HTTP/1.1\r\nHost: app\r\n\r\n")?))
        .and_then(|()| agent.signal(Signal::SIGKILL))
        .and_then(|()| agent.ended());
    // A responder that does not wait is gone by then.
    wait::pause(Duration::from_millis(100));
    kill(keeper, Signal::SIGCONT).context("letting the keeper go on")?;
    killed?;
    for connection in &mut pool {
        assert_faulted(&connection.response("GET")?, &id);
    }
    parts.await_end()?;
    for connection in &mut pool {
        assert!(connection.get("/")?.is_real(), "the application goes on");
    }
    Ok(())
}

/// Without the keeper nothing is taken any more: the kernel gives each connection back by itself. What comes in the
/// milliseconds that this takes is lost.
#[test]
fn connections_survive_the_keeper() -> Result<()> {
    let site = Site::take("keeperkill")?;
    let mut pool = pool(&site, 4)?;
    let before = Traces::now()?;
    let id = experiment("keeperkill");
    let agent = site.inject(&id, &["--existing-connections", "take"])?;
    for connection in &mut pool {
        assert_faulted(&connection.get("/")?, &id);
    }
    kill(agent.keeper()?, Signal::SIGKILL).context("killing the keeper")?;
    wait::until("the kernel to let go of the connections", Duration::from_secs(10), || {
        Ok(!before.new_programs()?.iter().any(|name| name == "httpfault_take"))
    })?;
    for connection in &mut pool {
        connection.patience(Duration::from_secs(5))?;
        assert!(connection.get("/")?.is_real(), "the application answers again");
    }
    assert_faulted(&site.get(site.v4(), "/")?, &id);
    let removed = agent.terminate()?.removed()?;
    assert!(removed.warnings.iter().any(|warning| warning.contains("keeper")), "{:?}", removed.warnings);
    Ok(())
}
