//! What a client cannot use up.

use std::time::Duration;

use httpfault_responder::Limits;

use crate::support::{App, Setup, eventually, fault, some};

const GET: &str = "GET /fault HTTP/1.1\r\nHost: a\r\n\r\n";
const NOWHERE: &str = "127.0.0.1:9";

async fn limited(limits: Limits) -> Setup {
    Setup::with_limits(fault(503), NOWHERE.parse().unwrap(), limits).await
}

#[tokio::test]
async fn too_large_a_head_is_431_where_everything_is_faulted() {
    let setup = Setup::without_app(fault(503)).await;
    for headers in [format!("X: {}\r\n", "x".repeat(70_000)), "X: y\r\n".repeat(200)] {
        let mut client = setup.client().await;
        client.send(format!("GET / HTTP/1.1\r\n{headers}\r\n")).await;
        assert_eq!(client.reply("GET").await.status(), 431);
        client.expect_end().await;
    }
}

#[tokio::test]
async fn too_large_a_head_is_the_applications_where_not() {
    for headers in [format!("X: {}\r\n", "x".repeat(70_000)), "X: y\r\n".repeat(300)] {
        let app = App::echo().await;
        let setup = Setup::new(some(503), app.address).await;
        let mut client = setup.client().await;
        let request = format!("GET /fault HTTP/1.1\r\n{headers}\r\n");
        client.send(&request).await;
        client.expect(&request).await;
        assert_eq!(setup.counters().not_http, 1);
    }
}

#[tokio::test]
async fn a_slow_head_ends_the_connection() {
    let setup = limited(Limits { head_time: Duration::from_millis(50), ..Limits::default() }).await;
    let mut client = setup.client().await;
    client.send(GET).await;
    assert_eq!(client.reply("GET").await.status(), 503);
    client.send("GET / HTTP/1.1\r\nHost").await;
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
async fn connections_beyond_the_limit_wait_and_the_driver_is_told() {
    let setup = limited(Limits { max_connections: 2, ..Limits::default() }).await;
    let stats = setup.responder.stats();
    let mut first = setup.client().await;
    let mut second = setup.client().await;
    for client in [&mut first, &mut second] {
        client.send(GET).await;
        assert_eq!(client.reply("GET").await.status(), 503);
    }
    eventually("saturated", || stats.saturated()).await;
    let mut third = setup.client().await;
    third.send(GET).await;
    assert!(third.is_quiet());
    assert_eq!(stats.open_connections(), 2);
    drop(first);
    assert_eq!(third.reply("GET").await.status(), 503);
    assert!(stats.saturated());
    drop(second);
    // Said without any new connection: the driver may have stopped steering.
    eventually("free again", || !stats.saturated() && stats.open_connections() == 1).await;
}
