//! Clients that send a large body before they read anything get the status, not a reset.

use std::time::Duration;

use httpfault_responder::Limits;

use crate::support::{App, AppConnection, Setup, fault, forwarding, some};

const MEGABYTE: usize = 1 << 20;
const SIZE: usize = 50 * MEGABYTE;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_megabytes_with_a_length() {
    for fault in [fault(503), some(503)] {
        let setup = Setup::without_app(fault).await;
        let mut client = setup.client().await;
        client.send(format!("POST /fault HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n")).await;
        client.send(vec![b'x'; SIZE]).await;
        assert_eq!(client.reply("POST").await.status(), 503);
        client.send("GET /fault HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.reply("GET").await.status(), 503, "the connection goes on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_megabytes_in_chunks() {
    let chunk = [format!("{MEGABYTE:x}\r\n").as_bytes(), &vec![b'x'; MEGABYTE], b"\r\n"].concat();
    for fault in [fault(503), some(503)] {
        let setup = Setup::without_app(fault).await;
        let mut client = setup.client().await;
        client.send("POST /fault HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for _ in 0..50 {
            client.send(&chunk).await;
        }
        client.send("0\r\n\r\nGET /fault HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.reply("POST").await.status(), 503);
        assert_eq!(client.reply("GET").await.status(), 503, "the connection goes on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_limit_the_status_comes_before_the_end() {
    let limits = Limits { discard_bytes: 100_000, linger_time: Duration::from_secs(10), ..Limits::default() };
    for (fault, framing) in [
        (fault(503), format!("Content-Length: {SIZE}")),
        (some(503), format!("Content-Length: {SIZE}")),
        (fault(503), "Transfer-Encoding: chunked".to_owned()),
    ] {
        let app = App::echo().await;
        let setup = Setup::with_limits(fault, app.address, limits).await;
        let mut client = setup.client().await;
        client.send(format!("POST /fault HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{SIZE:x}\r\n")).await;
        client.send(vec![b'x'; SIZE - 8]).await;
        assert_eq!(client.reply("POST").await.status(), 503);
        client.expect_end().await;
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up() {
    let limits = Limits {
        discard_time: Duration::from_millis(30),
        linger_time: Duration::from_millis(30),
        ..Limits::default()
    };
    let setup = Setup::with_limits(fault(503), "127.0.0.1:9".parse().unwrap(), limits).await;
    let mut client = setup.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nslow").await;
    assert_eq!(client.reply("POST").await.status(), 503);
    client.expect_end().await;
}

#[tokio::test]
async fn a_body_that_waits_for_100_continue_is_not_asked_for() {
    let setup = Setup::without_app(fault(503)).await;
    let mut client = setup.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n").await;
    let reply = client.reply("POST").await;
    assert_eq!((reply.status(), reply.header("connection")), (503, Some("close")));
    client.expect_end().await;
}

#[tokio::test]
async fn a_client_that_sends_its_body_anyway_reads_the_status() {
    let setup = Setup::without_app(fault(503)).await;
    let mut client = setup.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n")
        .await;
    client.send(vec![b'x'; 1_000_000]).await;
    assert_eq!(client.reply("POST").await.status(), 503);
    client.expect_end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_streamed_to_the_application() {
    let app = App::new(async |mut connection: AppConnection| {
        connection.head().await;
        let count = connection.exactly(SIZE).await.len();
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{count}")).await;
        connection.head().await;
    })
    .await;
    let setup = Setup::new(forwarding(503), app.address).await;
    let mut client = setup.client().await;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n")).await;
    client.send(vec![b'x'; SIZE]).await;
    assert_eq!(client.reply("POST").await.text(), SIZE.to_string());
}
