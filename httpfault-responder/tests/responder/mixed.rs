//! Faulted and spared requests on one connection.

use std::iter;

use httpfault_common::contract::Fault;

use crate::support::{App, AppConnection, Client, Setup, fault, forwarding, some};

const FAULTED: &str = "GET /fault HTTP/1.1\r\nHost: a\r\n\r\n";
const SPARED: &str = "GET /real HTTP/1.1\r\nhOST: a\r\n\r\n";
const REAL: &str = "HTTP/1.1 200 Yes\r\nX-Odd:1\r\nContent-Length: 4\r\n\r\nreal";

#[tokio::test]
async fn pipelined_in_one_write() {
    let app = App::canned(REAL).await;
    let setup = Setup::new(some(503), app.address).await;
    let mut client = setup.client().await;
    client.send([SPARED, FAULTED, FAULTED, SPARED, SPARED, FAULTED].concat()).await;
    client.expect(REAL).await;
    assert_eq!(client.reply("GET").await.status(), 503);
    let reply = client.reply("GET").await;
    assert_eq!((reply.status(), reply.header("connection")), (503, None));
    client.expect(REAL.repeat(2)).await;
    assert_eq!(client.reply("GET").await.status(), 503);
    assert_eq!(app.seen(), SPARED.repeat(3));
    assert_eq!(app.connections(), 1);
    let counters = setup.counters();
    assert_eq!((counters.requests_http11, counters.faulted, counters.spared), (6, 3, 3));
}

#[tokio::test]
async fn bodies_end_where_they_should_however_they_are_cut() {
    let app = App::canned(REAL).await;
    let setup = Setup::new(some(503), app.address).await;
    let spared = "PUT /real HTTP/1.1\r\nContent-Length: 32\r\n\r\nGET /fault HTTP/1.1\r\nHost: a\r\n\r\n";
    let faulted = "PUT /fault HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        7;x=y\r\nGET /re\r\n3\r\nal \r\n0\r\nX: y\r\n\r\n";
    let all = [faulted, spared, faulted, FAULTED, spared].concat();
    for size in [1, 2, 7, 64, all.len()] {
        let mut client = setup.client().await;
        for piece in all.as_bytes().chunks(size) {
            client.send(piece).await;
        }
        assert_eq!(client.reply("PUT").await.status(), 503);
        client.expect(REAL).await;
        assert_eq!(client.reply("PUT").await.status(), 503);
        assert_eq!(client.reply("GET").await.status(), 503);
        client.expect(REAL).await;
        assert!(client.is_quiet());
    }
    assert_eq!(app.seen(), spared.repeat(10));
}

#[tokio::test]
async fn forwarded_and_spared() {
    let app = App::canned(REAL).await;
    let setup = Setup::new(Fault { replacement: None, ..some(418) }, app.address).await;
    let mut client = setup.client().await;
    for _ in 0..3 {
        client.send([FAULTED, SPARED].concat()).await;
        let reply = client.reply("GET").await;
        assert_eq!((reply.status(), reply.text()), (418, "real".to_owned()));
        client.expect(REAL).await;
    }
    let counters = setup.counters();
    assert_eq!((counters.faulted, counters.forwarded, counters.spared), (3, 3, 3));
}

#[tokio::test]
async fn connection_close_ends_it_whoever_answers() {
    for path in ["/fault", "/real"] {
        let app = App::canned("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
        let setup = Setup::new(some(503), app.address).await;
        let mut client = setup.client().await;
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(client.reply("GET").await.header("connection"), Some("close"), "{path}");
        client.expect_end().await;
    }
}

#[tokio::test]
async fn http10_at_the_gate() {
    let setup = Setup::without_app(some(503)).await;
    let mut client = setup.client().await;
    client.send("GET /fault HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    assert_eq!(client.reply("GET").await.header("connection"), Some("keep-alive"));
    client.send("GET /fault HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.reply("GET").await.status(), 503);
    client.expect_end().await;
}

#[tokio::test]
async fn a_refused_body_ends_the_connection() {
    let setup = Setup::without_app(some(503)).await;
    let mut client = setup.client().await;
    client.send("POST /fault HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n").await;
    let reply = client.reply("POST").await;
    assert_eq!((reply.status(), reply.header("connection")), (503, Some("close")));
    client.expect_end().await;
}

#[tokio::test]
async fn the_application_may_close_its_kept_connection() {
    let app = App::new(async |mut connection: AppConnection| {
        connection.head().await;
        connection.send(REAL).await;
    })
    .await;
    let setup = Setup::new(some(503), app.address).await;
    let mut client = setup.client().await;
    let post = "POST /real HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    for spared in [SPARED, post, SPARED, post, post] {
        client.send([spared, FAULTED].concat()).await;
        client.expect(REAL).await;
        assert_eq!(client.reply("GET").await.status(), 503);
    }
    assert_eq!(app.connections(), 5);
    assert_eq!(setup.counters().upstream_errors, 0);
}

async fn verdicts(client: &mut Client, count: usize) -> String {
    let mut verdicts = String::new();
    for _ in 0..count {
        client.send(SPARED).await;
        verdicts.push(if client.reply("GET").await.status() == 200 { 'S' } else { 'F' });
    }
    verdicts
}

#[tokio::test]
async fn the_share_is_that_of_requests_and_a_seed_repeats_it() {
    let app = App::canned(REAL).await;
    let half = |seed| Fault { percent: 50.0, seed: Some(seed), ..fault(503) };
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let setup = Setup::new(half(seed), app.address).await;
        let mut client = setup.client().await;
        runs.push(verdicts(&mut client, 200).await);
        let counters = setup.counters();
        assert_eq!(counters.faulted + counters.spared, 200);
        assert!((70..=130).contains(&counters.faulted), "{} of 200", counters.faulted);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test]
async fn a_share_of_forwarded_requests() {
    let app = App::canned(REAL).await;
    let setup = Setup::new(Fault { percent: 50.0, ..forwarding(503) }, app.address).await;
    let mut client = setup.client().await;
    let replies: Vec<_> = {
        let mut replies = Vec::new();
        for request in iter::repeat_n(SPARED, 100) {
            client.send(request).await;
            replies.push(client.reply("GET").await);
        }
        replies
    };
    assert!(replies.iter().all(|reply| reply.text() == "real"));
    assert!(replies.iter().any(|reply| reply.status() == 503));
    assert!(replies.iter().any(|reply| reply.status() == 200));
}
