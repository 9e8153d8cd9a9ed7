//! MODIFY_RESPONSE_BODY=false: the application answers, its status is replaced.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use httpfault_common::contract::Fault;

use crate::support::{App, AppConnection, Setup, eventually, forwarding};

const GET: &str = "GET /a?b=c HTTP/1.1\r\nHost: shop\r\n\r\n";

#[tokio::test]
async fn status_and_phrase_are_replaced_and_nothing_else() {
    let app = App::canned(
        "HTTP/1.1 200 Fine\r\nX-App: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\nhello",
    )
    .await;
    let setup = Setup::new(forwarding(503), app.address).await;
    let mut client = setup.client().await;
    for _ in 0..3 {
        client.send(GET).await;
        let reply = client.reply("GET").await;
        assert_eq!(reply.status_line(), "HTTP/1.1 503 Service Unavailable");
        assert_eq!(reply.headers("set-cookie"), ["a", "b"]);
        assert_eq!((reply.header("x-app"), reply.header("etag")), (Some("1"), Some("\"x\"")));
        assert_eq!(reply.header("x-httpfault"), Some("exp-1"));
        assert_eq!(reply.text(), "hello");
    }
    assert_eq!(app.connections(), 1, "the connection to the application is kept");
    assert!(app.seen().starts_with("GET /a?b=c HTTP/1.1\r\nHost: shop\r\n"), "{}", app.seen());
    let counters = setup.counters();
    assert_eq!((counters.faulted, counters.forwarded, counters.upstream_errors), (3, 3, 0));
}

#[tokio::test]
async fn hop_by_hop_headers_stay_on_their_hop() {
    let app = App::canned(
        "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let setup = Setup::new(forwarding(500), app.address).await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Mine\r\nX-Mine: 1\r\nProxy-Connection: x\r\nX-End: 1\r\n\r\n";
    let reply = setup.ask(request).await;
    assert_eq!((reply.header("x-hop"), reply.header("keep-alive")), (None, None));
    let seen = app.seen();
    assert!(!seen.contains("X-Mine") && !seen.contains("Proxy-Connection"), "{seen}");
    assert!(seen.contains("X-End: 1"), "{seen}");
}

#[tokio::test]
async fn fault_headers_replace_the_applications() {
    let app =
        App::canned("HTTP/1.1 200 OK\r\nRetry-After: 1\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n").await;
    let fault = Fault { headers: vec!["Retry-After: 30".parse().unwrap()], ..forwarding(429) };
    let reply = Setup::new(fault, app.address).await.ask(GET).await;
    assert_eq!(reply.headers("retry-after"), ["30"]);
}

#[tokio::test]
async fn chunked_gzip_comes_through_untouched() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(b"compressed words ".repeat(200).as_slice()).unwrap();
    let gzip = gzip.finish().unwrap();
    let sent = gzip.clone();
    let app = App::new(move |mut connection: AppConnection| {
        let gzip = sent.clone();
        async move {
            connection.head().await;
            connection
                .send("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await;
            for piece in gzip.chunks(7) {
                connection.send(format!("{:x}\r\n", piece.len())).await;
                connection.send(piece).await;
                connection.send("\r\n").await;
            }
            connection.send("0\r\n\r\n").await;
            connection.head().await;
        }
    })
    .await;
    let reply = Setup::new(forwarding(500), app.address).await.ask(GET).await;
    assert_eq!(reply.status(), 500);
    assert_eq!(reply.header("content-encoding"), Some("gzip"));
    assert_eq!(reply.body, gzip);
}

#[tokio::test]
async fn trailers_come_through_both_ways() {
    let app = App::new(async |mut connection: AppConnection| {
        connection.through("\r\n0\r\nx-sum: 1\r\n\r\n").await;
        let head = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n";
        connection.send(format!("{head}2\r\nok\r\n0\r\nX-Sum: 2\r\n\r\n")).await;
        connection.head().await;
    })
    .await;
    let setup = Setup::new(forwarding(500), app.address).await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTrailer: X-Sum\r\n\
        Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n";
    let reply = setup.ask(request).await;
    assert_eq!(reply.text(), "ok");
    let raw = String::from_utf8(reply.raw_body).unwrap().to_ascii_lowercase();
    assert!(raw.ends_with("0\r\nx-sum: 2\r\n\r\n"), "{raw}");
}

#[tokio::test]
async fn head_keeps_the_applications_headers() {
    let app = App::canned("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n").await;
    let setup = Setup::new(forwarding(503), app.address).await;
    let mut client = setup.client().await;
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let reply = client.reply("HEAD").await;
        assert_eq!((reply.status(), reply.header("content-length")), (503, Some("1234")));
    }
}

#[tokio::test]
async fn a_status_without_content_drops_the_body() {
    for (status, length) in [(204, None), (304, None), (205, Some("0"))] {
        let app = App::canned("HTTP/1.1 200 OK\r\nX-App: 1\r\nContent-Length: 5\r\n\r\nhello").await;
        let setup = Setup::new(forwarding(status), app.address).await;
        let mut client = setup.client().await;
        for _ in 0..2 {
            client.send(GET).await;
            let reply = client.reply("GET").await;
            assert_eq!((reply.status(), reply.header("content-length")), (status, length));
            assert_eq!(reply.header("x-app"), Some("1"));
            assert!(reply.body.is_empty());
        }
    }
}

#[tokio::test]
async fn an_answer_without_content_gets_a_length_that_fits() {
    let app = App::canned("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"x\"\r\n\r\n").await;
    let setup = Setup::new(forwarding(500), app.address).await;
    let mut client = setup.client().await;
    for _ in 0..2 {
        client.send(GET).await;
        let reply = client.reply("GET").await;
        assert_eq!((reply.status(), reply.header("content-length")), (500, Some("0")));
        assert_eq!(reply.header("etag"), Some("\"x\""));
    }
}

#[tokio::test]
async fn http10_is_forwarded_as_http10() {
    let app = App::new(async |mut connection: AppConnection| {
        connection.head().await;
        connection.send("HTTP/1.0 200 OK\r\nX-App: 1\r\n\r\nuntil close").await;
    })
    .await;
    let setup = Setup::new(forwarding(503), app.address).await;
    let reply = setup.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    assert_eq!(reply.status_line(), "HTTP/1.0 503 Service Unavailable");
    assert_eq!(reply.text(), "until close");
    assert!(app.seen().starts_with("GET / HTTP/1.0\r\n"), "{}", app.seen());
}

#[tokio::test]
async fn interim_responses_are_not_taken_for_the_answer() {
    let app = App::canned(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let reply = Setup::new(forwarding(503), app.address).await.ask(GET).await;
    assert_eq!((reply.status(), reply.text()), (503, "ok".to_owned()));
}

#[tokio::test]
async fn the_application_decides_about_100_continue() {
    let app = App::new(async |mut connection: AppConnection| {
        connection.head().await;
        connection.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        let body = connection.exactly(5).await;
        let body = String::from_utf8(body).unwrap();
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{body}")).await;
        connection.head().await;
    })
    .await;
    let setup = Setup::new(forwarding(503), app.address).await;
    let mut client = setup.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    client.expect("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.send("hello").await;
    assert_eq!(client.reply("POST").await.text(), "hello");
}

#[tokio::test]
async fn the_application_may_refuse_the_body() {
    let app = App::new(async |mut connection: AppConnection| {
        connection.head().await;
        connection.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno").await;
        connection.head().await;
    })
    .await;
    let setup = Setup::new(forwarding(503), app.address).await;
    let mut client = setup.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    let reply = client.reply("POST").await;
    assert_eq!((reply.status(), reply.text()), (503, "no".to_owned()));
}

#[tokio::test]
async fn no_application_gets_the_chaos_body_and_is_counted() {
    let setup = Setup::without_app(forwarding(503)).await;
    let reply = setup.ask(GET).await;
    assert_eq!(reply.status(), 503);
    assert!(reply.text().contains("injected by httpfault"));
    let counters = setup.counters();
    assert_eq!((counters.faulted, counters.forwarded, counters.upstream_errors), (1, 0, 1));
}

#[tokio::test]
async fn an_application_that_hangs_up_is_no_answer() {
    let app = App::new(async |mut connection: AppConnection| {
        connection.head().await;
    })
    .await;
    let setup = Setup::new(forwarding(502), app.address).await;
    let reply = setup.ask(GET).await;
    assert_eq!(reply.status(), 502);
    assert!(reply.text().contains("injected by httpfault"));
    assert_eq!(setup.counters().upstream_errors, 1);
}

#[tokio::test]
async fn a_kept_connection_that_the_application_closed_is_replaced() {
    let app = App::new(async |mut connection: AppConnection| {
        connection.head().await;
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .await;
    let setup = Setup::new(forwarding(503), app.address).await;
    let mut client = setup.client().await;
    for _ in 0..5 {
        client.send(GET).await;
        assert_eq!(client.reply("GET").await.text(), "ok");
    }
    eventually("five connections", || app.connections() == 5).await;
}

#[tokio::test]
async fn a_body_that_breaks_off_breaks_off_at_the_client() {
    let app = App::new(async |mut connection: AppConnection| {
        connection.head().await;
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    })
    .await;
    let setup = Setup::new(forwarding(503), app.address).await;
    let mut client = setup.client().await;
    client.send(GET).await;
    assert!(client.head().await.starts_with("HTTP/1.1 503"));
    assert_eq!(client.rest().await, b"half");
    assert_eq!(setup.counters().upstream_errors, 1);
}
