//! The end of a fault: nobody is reset, every request gets the fault or the real answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use httpfault_common::contract::Fault;
use httpfault_responder::{FinishReport, Limits};
use tokio::{task::JoinSet, time::Instant};

use crate::support::{App, AppConnection, Client, PATIENCE, Setup, eventually, fault, forwarding, some};

const GET: &str = "GET /fault HTTP/1.1\r\nHost: a\r\n\r\n";
const REAL: &str = "HTTP/1.1 200 OK\r\nX-Real: 1\r\nContent-Length: 4\r\n\r\nreal";
const LAST: &str = "HTTP/1.1 200 OK\r\nX-Real: 1\r\nContent-Length: 4\r\nConnection: close\r\n\r\nreal";

#[tokio::test]
async fn the_next_request_of_a_kept_connection_is_the_applications_and_the_last() {
    for fault in [fault(503), some(503), forwarding(503)] {
        let app = App::canned(REAL).await;
        let setup = Setup::new(fault, app.address).await;
        let mut client = setup.client().await;
        client.send(GET).await;
        assert_eq!(client.reply("GET").await.status(), 503);
        setup.responder.leave();
        client.send(GET).await;
        client.expect(LAST).await;
        client.expect_end().await;
        assert!(app.seen().ends_with(GET));
        assert_eq!((setup.counters().faulted, setup.counters().spared), (1, 1));
    }
}

#[tokio::test]
async fn new_connections_and_other_protocols_are_the_applications() {
    let app = App::canned(REAL).await;
    let setup = Setup::new(fault(503), app.address).await;
    setup.responder.leave();
    let mut client = setup.client().await;
    // Everything that is pipelined is answered before the end.
    client.send(GET.repeat(3)).await;
    client.expect(REAL.repeat(2)).await;
    client.expect(LAST).await;
    client.expect_end().await;
}

#[tokio::test]
async fn an_upgrade_after_the_end_is_untouched() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n";
    let app = App::new(move |mut connection: AppConnection| async move {
        connection.head().await;
        connection.send(switch).await;
        connection.head().await;
    })
    .await;
    let setup = Setup::new(fault(503), app.address).await;
    let mut client = setup.client().await;
    client.send(GET).await;
    client.reply("GET").await;
    setup.responder.leave();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n").await;
    client.expect(switch).await;
    let report = setup.responder.finish(Duration::from_millis(50)).await;
    assert_eq!(report, FinishReport { cut_passing: 1, ..FinishReport::default() });
    client.expect_end().await;
}

#[tokio::test]
async fn idle_connections_are_closed_in_order_when_the_grace_is_over() {
    for fault in [fault(503), some(503)] {
        let setup = Setup::without_app(fault).await;
        let mut used = setup.client().await;
        used.send(GET).await;
        used.reply("GET").await;
        let mut silent = setup.client().await;
        let stats = setup.responder.stats();
        eventually("both are open", || stats.open_connections() == 2).await;
        let finish = tokio::spawn(setup.responder.finish(Duration::from_millis(50)));
        used.expect_end().await;
        silent.expect_end().await;
        drop((used, silent));
        let report = finish.await.unwrap();
        assert_eq!(report, FinishReport { closed_idle: 2, ..FinishReport::default() });
        assert_eq!(stats.open_connections(), 0);
        assert!(tokio::net::TcpStream::connect(setup.address).await.is_err(), "the listener is closed");
    }
}

#[tokio::test]
async fn a_response_under_way_is_completed() {
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let gone = Arc::new(tokio::sync::Mutex::new(Some(gone)));
    let app = App::new(move |mut connection: AppConnection| {
        let gone = Arc::clone(&gone);
        async move {
            connection.head().await;
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf").await;
            gone.lock().await.take().unwrap().await.unwrap();
            connection.send("half").await;
            connection.head().await;
        }
    })
    .await;
    let setup = Setup::new(forwarding(503), app.address).await;
    let mut client = setup.client().await;
    client.send(GET).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 503"));
    client.expect("half").await;
    let finish = tokio::spawn(setup.responder.finish(Duration::from_millis(20)));
    let listener_closed = async { while tokio::net::TcpStream::connect(setup.address).await.is_ok() {} };
    crate::support::in_time("the grace", listener_closed).await;
    go.send(()).unwrap();
    client.expect("half").await;
    client.expect_end().await;
    drop(client);
    let report = finish.await.unwrap();
    assert_eq!((report.cut_serving, report.cut_passing), (0, 0));
}

#[tokio::test]
async fn finish_returns_as_soon_as_everybody_is_gone() {
    let app = App::canned(REAL).await;
    let setup = Setup::new(fault(503), app.address).await;
    let mut client = setup.client().await;
    client.send(GET).await;
    client.reply("GET").await;
    let begin = Instant::now();
    let finish = tokio::spawn(setup.responder.finish(PATIENCE));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let reply = client.reply("GET").await;
    // The request may have been faster than the word that the fault is over.
    if reply.status() == 200 {
        client.expect_end().await;
    }
    drop(client);
    let report = finish.await.unwrap();
    assert!(begin.elapsed() < PATIENCE / 2);
    assert_eq!(report, FinishReport { ended: 1, ..FinishReport::default() });
}

#[tokio::test]
async fn passed_connections_are_cut_last_and_do_not_hold_up_who_waits() {
    let app = App::echo().await;
    let limits = Limits { max_connections: 1, ..Limits::default() };
    let setup = Setup::with_limits(fault(503), app.address, limits).await;
    let mut tls = setup.client().await;
    tls.send(b"\x16\x03\x01").await;
    tls.expect(b"\x16\x03\x01").await;
    let mut waiting = setup.client().await;
    waiting.send(b"\x16\x03\x02").await;
    let finish = tokio::spawn(setup.responder.finish(Duration::from_millis(50)));
    waiting.expect(b"\x16\x03\x02").await;
    assert_eq!(finish.await.unwrap().cut_passing, 2);
    waiting.expect_end().await;
    tls.expect_end().await;
}

/// One client under load: keeps its connection as long as it may, then opens another. `stop` ends it.
async fn load(
    address: std::net::SocketAddr,
    app: std::net::SocketAddr,
    stop: Arc<AtomicBool>,
    tally: Arc<Tally>,
) {
    let mut target = address;
    while !stop.load(SeqCst) {
        let mut client = Client::connect(target).await;
        loop {
            client.send(GET).await;
            let reply = client.reply("GET").await;
            match reply.status() {
                503 => tally.faulted.fetch_add(1, SeqCst),
                200 => tally.real.fetch_add(1, SeqCst),
                other => panic!("neither fault nor answer: {other}"),
            };
            if stop.load(SeqCst) {
                return;
            }
            if reply.header("connection") == Some("close") {
                client.expect_end().await;
                break;
            }
        }
        // Steering is off by then: new connections go to the application itself.
        if tally.left.load(SeqCst) {
            target = app;
        }
    }
}

#[derive(Default)]
struct Tally {
    faulted: AtomicU64,
    real: AtomicU64,
    left: AtomicBool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaving_under_load_resets_and_refuses_nobody() {
    for fault in [fault(503), Fault { percent: 50.0, ..fault(503) }, forwarding(503)] {
        let app = App::canned(REAL).await;
        let setup = Setup::new(fault, app.address).await;
        let stats = setup.responder.stats();
        let (stop, tally) = (Arc::new(AtomicBool::new(false)), Arc::new(Tally::default()));
        let mut clients = JoinSet::new();
        for _ in 0..32 {
            clients.spawn(load(setup.address, app.address, Arc::clone(&stop), Arc::clone(&tally)));
        }
        eventually("load", || tally.faulted.load(SeqCst) > 500).await;
        tally.left.store(true, SeqCst);
        setup.responder.leave();
        let real = tally.real.load(SeqCst);
        let report = setup.responder.finish(PATIENCE).await;
        eventually("real answers", || tally.real.load(SeqCst) > real + 500).await;
        stop.store(true, SeqCst);
        while let Some(client) = clients.join_next().await {
            client.unwrap();
        }
        assert_eq!((report.cut_passing, report.cut_serving, report.closed_idle), (0, 0, 0));
        assert_eq!(stats.faulted(), tally.faulted.load(SeqCst));
    }
}
