//! Connections that are no HTTP pass untouched, both ways.

use std::time::Duration;

use httpfault_responder::Limits;
use tokio::io::AsyncWriteExt;

use crate::support::{App, AppConnection, Setup, eventually, fault, none, some};

async fn echoes(bytes: &[u8]) -> Setup {
    let app = App::echo().await;
    let setup = Setup::new(fault(503), app.address).await;
    let mut client = setup.client().await;
    for piece in bytes.chunks(3) {
        client.send(piece).await;
    }
    assert_eq!(client.exactly(bytes.len()).await, bytes);
    client.end().await;
    client.expect_end().await;
    setup
}

#[tokio::test]
async fn tls_is_counted() {
    let mut hello = vec![0x16, 3, 1, 0, 200, 1, 0, 0];
    hello.extend((0..=255).cycle().take(3000));
    let setup = echoes(&hello).await;
    assert_eq!((setup.counters().tls, setup.counters().not_http), (1, 0));
}

#[tokio::test]
async fn anything_else_is_counted() {
    for bytes in [
        b"\x00\x01\x02\xff\xfe\r\n\r\n".as_slice(),
        b"*1\r\n$4\r\nPING\r\n",
        b"SSH-2.0-x\r\n",
        b"GET /\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    ] {
        let setup = echoes(bytes).await;
        assert_eq!((setup.counters().tls, setup.counters().not_http), (0, 1));
        assert_eq!(setup.counters().faulted, 0);
    }
}

#[tokio::test]
async fn headers_of_load_balancers_are_counted() {
    for header in
        [b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 80\r\n".as_slice(), b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\0"]
    {
        let setup = echoes(&[header, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat()).await;
        assert_eq!((setup.counters().proxy_protocol, setup.counters().not_http), (1, 1));
        assert_eq!(setup.counters().faulted, 0);
    }
}

#[tokio::test]
async fn each_side_ends_on_its_own() {
    let app = App::new(async |mut connection: AppConnection| {
        connection.send("early").await;
        let got = connection.through("never").await;
        assert!(got.is_none());
        connection.send(" and late").await;
        connection.stream.shutdown().await.unwrap();
    })
    .await;
    let setup = Setup::new(fault(503), app.address).await;
    let mut client = setup.client().await;
    client.send(b"\x16\x03\x01 bytes").await;
    client.expect("early").await;
    client.end().await;
    client.expect(" and late").await;
    client.expect_end().await;
    assert_eq!(app.seen().as_bytes(), b"\x16\x03\x01 bytes");
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard() {
    let app = App::new(async |mut connection: AppConnection| {
        connection.send("220 ready\r\n").await;
        connection.through("QUIT\r\n").await;
        connection.send("221 bye\r\n").await;
    })
    .await;
    let limits = Limits { silence: Duration::from_millis(20), ..Limits::default() };
    let setup = Setup::with_limits(fault(503), app.address, limits).await;
    let mut client = setup.client().await;
    client.expect("220 ready\r\n").await;
    client.send("QUIT\r\n").await;
    client.expect("221 bye\r\n").await;
    assert_eq!(setup.counters().not_http, 1);
}

#[tokio::test]
async fn a_connection_opened_in_advance_is_faulted_after_its_silence() {
    let app = App::canned("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let limits = Limits { silence: Duration::from_millis(5), ..Limits::default() };
    for fault in [fault(503), some(503)] {
        let setup = Setup::with_limits(fault, app.address, limits).await;
        let before = app.connections();
        let mut client = setup.client().await;
        eventually("the application is asked", || app.connections() == before + 1).await;
        client.send("GET /fault HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.reply("GET").await.status(), 503);
    }
}

#[tokio::test]
async fn http2_at_zero_percent_passes_raw_and_counted() {
    let app = App::echo().await;
    let setup = Setup::new(none(), app.address).await;
    let mut client = setup.client().await;
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    client.send(preface).await;
    client.expect(preface).await;
    assert_eq!(setup.counters(), Default::default());
    // HEADERS of streams 1 and 3, without a payload.
    let requests = "\0\0\0\x01\x05\0\0\0\x01\0\0\0\x01\x05\0\0\0\x03";
    client.send(requests).await;
    client.expect(requests).await;
    let counters = setup.counters();
    assert_eq!((counters.requests_http2, counters.spared, counters.faulted), (2, 2, 0));
}

#[tokio::test]
async fn without_application_the_connection_ends() {
    let setup = Setup::without_app(fault(503)).await;
    let mut client = setup.client().await;
    client.send(b"\x16\x03\x01").await;
    // The end may come as a reset, because nobody has read the bytes.
    client.readable().await;
    eventually("it is counted", || setup.counters().upstream_errors == 1).await;
    assert_eq!(setup.counters().tls, 1);
}
