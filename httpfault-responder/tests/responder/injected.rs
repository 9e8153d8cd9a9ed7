//! MODIFY_RESPONSE_BODY=true: the application is not called.

use httpfault_common::contract::{Fault, Replacement};

use crate::support::{App, Setup, TOKEN, fault};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

async fn reply_to(fault: Fault, request: &str) -> crate::support::Reply {
    Setup::without_app(fault).await.ask(request).await
}

#[tokio::test]
async fn the_answer_names_status_and_origin() {
    let app = App::canned("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let setup = Setup::new(fault(503), app.address).await;
    let reply = setup.ask(GET).await;
    assert_eq!(reply.status_line(), "HTTP/1.1 503 Service Unavailable");
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(reply.header("x-httpfault"), Some("exp-1"));
    assert!(reply.header("date").is_some());
    assert_eq!(reply.text(), "503 Service Unavailable: injected by httpfault, experiment exp-1\n");
    let counters = setup.counters();
    assert_eq!((counters.requests_http11, counters.faulted, counters.forwarded), (1, 1, 0));
    assert_eq!(app.connections(), 0);
}

#[tokio::test]
async fn without_marker_nothing_names_the_experiment() {
    let reply = reply_to(Fault { marker: false, ..fault(500) }, GET).await;
    assert_eq!(reply.header("x-httpfault"), None);
    assert!(!reply.text().contains("exp-1"));
}

#[tokio::test]
async fn json_where_accept_prefers_it() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nAccept: text/plain;q=0.2, application/json\r\n\r\n";
    let reply = reply_to(fault(404), request).await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(reply.text().contains(r#""status":404"#), "{}", reply.text());
}

#[tokio::test]
async fn a_given_body_and_type_are_used_as_they_are() {
    let replacement = Replacement { body: Some("<b>no</b>".into()), content_type: Some("text/html".into()) };
    let given = Fault { replacement: Some(replacement), ..fault(500) };
    let reply = reply_to(given, "GET / HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n").await;
    assert_eq!(reply.header("content-type"), Some("text/html"));
    assert_eq!(reply.text(), "<b>no</b>");
}

#[tokio::test]
async fn head_has_the_length_of_get_and_no_body() {
    let setup = Setup::without_app(fault(503)).await;
    let length = setup.ask(GET).await.body.len().to_string();
    let mut client = setup.client().await;
    client
        .send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(client.reply("HEAD").await.header("content-length"), Some(length.as_str()));
    assert_eq!(client.reply("GET").await.status(), 503);
    client.expect_end().await;
}

#[tokio::test]
async fn statuses_without_content_have_no_framing_that_says_otherwise() {
    for (status, length) in [(204, None), (304, None), (205, Some("0"))] {
        let setup = Setup::without_app(fault(status)).await;
        let mut client = setup.client().await;
        for method in ["GET", "HEAD", "POST"] {
            client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            let reply = client.reply(method).await;
            assert_eq!(reply.status(), status);
            assert_eq!(reply.header("content-length"), length, "{method} {}", reply.head);
            assert_eq!(reply.header("transfer-encoding"), None);
            assert_eq!(reply.header("content-type"), None);
            assert!(reply.body.is_empty());
        }
    }
}

#[tokio::test]
async fn headers_of_the_fault_come_along() {
    for (status, line, name, value) in [
        (401, "WWW-Authenticate: Bearer", "www-authenticate", "Bearer"),
        (429, "Retry-After: 30", "retry-after", "30"),
        (302, "Location: https://example.com/", "location", "https://example.com/"),
        (500, "Content-Type: application/problem+json", "content-type", "application/problem+json"),
    ] {
        let reply = reply_to(Fault { headers: vec![line.parse().unwrap()], ..fault(status) }, GET).await;
        assert_eq!(reply.status(), status);
        assert_eq!(reply.header(name), Some(value));
    }
}

#[tokio::test]
async fn a_status_without_standard_phrase_has_one() {
    let reply = reply_to(fault(599), GET).await;
    assert_eq!(reply.status_line(), "HTTP/1.1 599 Injected Fault");
}

#[tokio::test]
async fn http10_closes_unless_asked_to_stay() {
    let setup = Setup::without_app(fault(503)).await;
    let mut client = setup.client().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let reply = client.reply("GET").await;
    assert_eq!(reply.status_line(), "HTTP/1.0 503 Service Unavailable");
    client.expect_end().await;

    let mut client = setup.client().await;
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        assert_eq!(client.reply("GET").await.header("connection"), Some("keep-alive"));
    }
    assert_eq!(setup.counters().requests_http10, 3);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_turn() {
    let setup = Setup::without_app(fault(503)).await;
    let mut client = setup.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".to_owned() + &GET.repeat(50))
        .await;
    for _ in 0..51 {
        assert_eq!(client.reply("GET").await.status(), 503);
    }
    assert_eq!(setup.counters().faulted, 51);
    assert!(client.is_quiet());
}

#[tokio::test]
async fn a_client_that_ended_its_side_is_answered() {
    let setup = Setup::without_app(fault(503)).await;
    let mut client = setup.client().await;
    client.send(GET).await;
    client.end().await;
    assert_eq!(client.reply("GET").await.status(), 503);
    client.expect_end().await;
}

#[tokio::test]
async fn options_asterisk_and_absolute_targets_are_faulted() {
    for line in ["OPTIONS * HTTP/1.1", "GET http://a/b HTTP/1.1", "PURGE /x HTTP/1.1"] {
        assert_eq!(reply_to(fault(503), &format!("{line}\r\nHost: a\r\n\r\n")).await.status(), 503, "{line}");
    }
}

#[tokio::test]
async fn the_probe_is_answered_and_not_counted() {
    for fault in [fault(503), crate::support::none(), crate::support::forwarding(503)] {
        let setup = Setup::without_app(fault).await;
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nx-httpfault-probe: {TOKEN}\r\n\r\n");
        let reply = setup.ask(&request).await;
        assert_eq!(reply.status(), 503);
        assert_eq!(reply.header("x-httpfault-probe"), Some(TOKEN));
        assert_eq!(setup.counters(), Default::default());
    }
}

#[tokio::test]
async fn another_token_is_an_ordinary_request() {
    let setup = Setup::without_app(fault(503)).await;
    let reply = setup.ask("GET / HTTP/1.1\r\nHost: a\r\nx-httpfault-probe: other\r\n\r\n").await;
    assert_eq!(reply.header("x-httpfault-probe"), None);
    assert_eq!(setup.counters().faulted, 1);
}
