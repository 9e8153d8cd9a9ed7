//! What a client cannot use up.

use std::time::Duration;

use httpfault_responder::Limits;

use crate::support::{App, Setup, eventually, fault, forwarding, some};

const GET: &str = "GET /fault HTTP/1.1\r\nHost: a\r\n\r\n";
const NOWHERE: &str = "127.0.0.1:9";

async fn limited(limits: Limits) -> Setup {
    Setup::with_limits(fault(503), NOWHERE.parse().unwrap(), limits).await
}

/// Heads that hyper, or this crate, would refuse.
fn odd_heads() -> Vec<String> {
    let lines = |more: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{more}\r\n");
    vec![
        lines(&format!("X: {}\r\n", "x".repeat(70_000))),
        lines(&"X: y\r\n".repeat(300)),
        lines("no colon\r\n"),
        lines("\u{e4}: UTF-8\r\n"),
        lines("A: b\r\n folded\r\n"),
        lines("Content-Length: 1\r\nContent-Length: 2\r\n"),
        lines("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
        "GET / HTTP/1.1\nHost: a\n\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70_000)),
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET / HTTP/1.2\r\nHost: a\r\n\r\n".to_owned(),
    ]
}

#[tokio::test]
async fn an_odd_head_gets_the_fault_where_everything_is_faulted() {
    for fault in [fault(503), forwarding(503)] {
        let many_lines = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(150));
        for head in odd_heads().into_iter().chain([many_lines]) {
            let app = App::canned("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            let setup = Setup::new(fault.clone(), app.address).await;
            let mut client = setup.client().await;
            client.send(&head).await;
            let reply = client.reply("GET").await;
            let shown = &head[..head.len().min(60)];
            assert_eq!((reply.status(), reply.header("x-httpfault")), (503, Some("exp-1")), "{shown:?}");
            let counters = setup.counters();
            assert_eq!((counters.requests_http11, counters.faulted), (1, 1), "{shown:?}");
            if reply.header("connection") == Some("close") {
                client.expect_end().await;
            }
        }
    }
}

#[tokio::test]
async fn a_target_that_hyper_refuses_gets_the_fault() {
    let app = App::canned("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    for fault in [fault(503), forwarding(503), some(503)] {
        let setup = Setup::new(fault, app.address).await;
        let mut client = setup.client().await;
        client.send("POST /fault\"<> HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n").await;
        let reply = client.reply("POST").await;
        assert_eq!((reply.status(), reply.header("x-httpfault")), (503, Some("exp-1")));
    }
}

#[tokio::test]
async fn half_a_head_is_no_request() {
    let setup = Setup::without_app(fault(503)).await;
    let mut client = setup.client().await;
    client.send("GET / HTTP/1.1\r\nHost").await;
    client.end().await;
    client.expect_end().await;
    assert_eq!(setup.counters().faulted, 0);
}

#[tokio::test]
async fn an_odd_head_is_the_applications_where_not() {
    for request in odd_heads() {
        let app = App::echo().await;
        let setup = Setup::new(some(503), app.address).await;
        let mut client = setup.client().await;
        client.send(&request).await;
        client.expect(&request).await;
        assert_eq!(setup.counters().not_http, 1);
    }
}

#[tokio::test]
async fn a_slow_head_gets_the_fault_and_ends_the_connection() {
    let setup = limited(Limits { head_time: Duration::from_millis(50), ..Limits::default() }).await;
    let mut client = setup.client().await;
    client.send(GET).await;
    assert_eq!(client.reply("GET").await.status(), 503);
    client.send("GET / HTTP/1.1\r\nHost").await;
    let reply = client.reply("GET").await;
    assert_eq!((reply.status(), reply.header("connection")), (503, Some("close")));
    client.expect_end().await;
}

#[tokio::test]
async fn a_slow_head_is_the_applications_at_the_gate() {
    let app = App::echo().await;
    let limits = Limits { head_time: Duration::from_millis(50), ..Limits::default() };
    let setup = Setup::with_limits(some(503), app.address, limits).await;
    let mut client = setup.client().await;
    client.send("GET /fault HTTP/1.1\r\nHo").await;
    client.expect("GET /fault HTTP/1.1\r\nHo").await;
    client.send("st").await;
    client.expect("st").await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_order() {
    let limits = Limits { idle_time: Duration::from_millis(50), ..Limits::default() };
    for fault in [fault(503), some(503)] {
        let setup = Setup::with_limits(fault, NOWHERE.parse().unwrap(), limits).await;
        let mut client = setup.client().await;
        client.send(GET).await;
        assert_eq!(client.reply("GET").await.status(), 503);
        client.expect_end().await;
        let mut silent = setup.client().await;
        silent.expect_end().await;
    }
}

#[tokio::test]
async fn beyond_the_limit_the_idlest_connection_closes() {
    let setup = limited(Limits { max_connections: 2, ..Limits::default() }).await;
    let stats = setup.responder.stats();
    let mut clients = [setup.client().await, setup.client().await];
    // The second is idle for longer than the first.
    for number in [1, 0] {
        tokio::time::sleep(Duration::from_millis(5)).await;
        clients[number].send(GET).await;
        assert_eq!(clients[number].reply("GET").await.status(), 503);
    }
    eventually("saturated", || stats.saturated()).await;
    let mut third = setup.client().await;
    for _ in 0..2 {
        third.send(GET).await;
        assert_eq!(third.reply("GET").await.status(), 503);
    }
    clients[1].expect_end().await;
    clients[0].send(GET).await;
    assert_eq!(clients[0].reply("GET").await.status(), 503);
}

#[tokio::test]
async fn connections_that_are_busy_keep_their_place_and_the_driver_is_told() {
    let app = App::echo().await;
    let limits = Limits { max_connections: 2, ..Limits::default() };
    let setup = Setup::with_limits(fault(503), app.address, limits).await;
    let stats = setup.responder.stats();
    let mut busy = [setup.client().await, setup.client().await];
    for client in &mut busy {
        client.send(b"\x16\x03\x01").await;
        client.expect(b"\x16\x03\x01").await;
    }
    eventually("saturated", || stats.saturated()).await;
    let mut third = setup.client().await;
    third.send(b"\x16\x03\x02").await;
    assert_eq!(stats.open_connections(), 2);
    let [first, second] = busy;
    drop(first);
    third.expect(b"\x16\x03\x02").await;
    assert!(stats.saturated());
    drop(second);
    // Said without any new connection: the driver may have stopped steering.
    eventually("free again", || !stats.saturated() && stats.open_connections() == 1).await;
}
