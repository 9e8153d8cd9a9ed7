//! What is not faulted reaches the application byte for byte, and so does its answer.

use httpfault_common::contract::{Fault, Selection};

use crate::support::{App, AppConnection, Setup, eventually, fault, forwarding, in_time, none, some};

/// Everything that a proxy likes to normalise.
const ODD: &str = "GET /a%2F/../b?x=%zz HTTP/1.1\r\nhOsT:shop\r\nX-Dup: 1\r\nAccept:  */*  \r\nx-dup: 2\r\nX-DUP: 3\r\n\
    Connection: X-Hop\r\nX-Hop: kept\r\nX-Empty:\r\n\r\n";
const ODD_ANSWER: &str =
    "HTTP/1.1 200 Fine, thanks\r\nsErVeR: me\r\nContent-length:  2\r\nx-b: 1\r\nX-A: 2\r\nX-a:3\r\n\r\nok";

#[track_caller]
fn same(got: &str, sent: &str) {
    assert_eq!(got, sent);
}

async fn passes_untouched(fault: Fault, request: &str) {
    let app = App::canned(ODD_ANSWER).await;
    let setup = Setup::new(fault, app.address).await;
    let mut client = setup.client().await;
    for _ in 0..3 {
        client.send(request).await;
        client.expect(ODD_ANSWER).await;
    }
    same(&app.seen(), &request.repeat(3));
    assert_eq!(app.connections(), 1);
    let counters = setup.counters();
    assert_eq!((counters.spared, counters.faulted, counters.not_http), (3, 0, 0));
}

#[tokio::test]
async fn at_zero_percent() {
    passes_untouched(none(), ODD).await;
}

#[tokio::test]
async fn on_another_path() {
    passes_untouched(some(503), ODD).await;
}

#[tokio::test]
async fn with_another_method() {
    let selection = Selection { methods: vec!["POST".into()], ..Selection::default() };
    passes_untouched(Fault { selection, ..fault(503) }, ODD).await;
}

#[tokio::test]
async fn without_the_header() {
    let selection = Selection { headers: vec!["X-Canary: yes".parse().unwrap()], ..Selection::default() };
    passes_untouched(Fault { selection, ..fault(503) }, ODD).await;
}

#[tokio::test]
async fn on_an_excluded_path() {
    let selection = Selection { exclude_paths: vec!["/a".into()], ..Selection::default() };
    passes_untouched(Fault { selection, ..fault(503) }, ODD).await;
}

#[tokio::test]
async fn for_an_excluded_user_agent() {
    let selection = Selection { exclude_user_agents: vec!["elb-health".into()], ..Selection::default() };
    let request = "GET /health HTTP/1.1\r\nuser-AGENT: ELB-HealthChecker/2.0\r\nHost: a\r\n\r\n";
    passes_untouched(Fault { selection, ..fault(503) }, request).await;
}

#[tokio::test]
async fn chunks_extensions_and_trailers_both_ways() {
    let request = "POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:  Chunked\r\n\r\n\
        03;ext=\"a;b\";x\r\nabc\r\n1 \r\nd\r\n0;last\r\nX-Trailer:  odd \r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n\
        A;e=1\r\n0123456789\r\n000\r\nx-t: 1\r\nX-T: 2\r\n\r\n";
    let app = App::new(move |mut connection: AppConnection| async move {
        for _ in 0..2 {
            connection.through("odd \r\n\r\n").await;
            for piece in answer.as_bytes().chunks(3) {
                connection.send(piece).await;
            }
        }
        connection.head().await;
    })
    .await;
    let setup = Setup::new(none(), app.address).await;
    let mut client = setup.client().await;
    for piece in request.repeat(2).as_bytes().chunks(5) {
        client.send(piece).await;
    }
    client.expect(answer.repeat(2)).await;
    same(&app.seen(), &request.repeat(2));
}

#[tokio::test]
async fn answers_without_body_and_interim_ones() {
    let app = App::new(async |mut connection: AppConnection| {
        connection.head().await;
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n").await;
        connection.head().await;
        connection.send("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n").await;
        connection.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n").await;
        connection.head().await;
        connection.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        connection.head().await;
        connection.send("HTTP/1.1 200 OK\r\n\r\nuntil close").await;
    })
    .await;
    let setup = Setup::new(none(), app.address).await;
    let mut client = setup.client().await;
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.expect("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n").await;
    client.send(get).await;
    client.expect("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n").await;
    client.expect("HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n").await;
    client.send(get).await;
    client.expect("HTTP/1.1 204 No Content\r\n\r\n").await;
    client.send(get).await;
    client.expect("HTTP/1.1 200 OK\r\n\r\nuntil close").await;
    client.expect_end().await;
    assert_eq!(app.connections(), 1);
}

#[tokio::test]
async fn expect_100_continue_is_between_client_and_application() {
    let app = App::new(async |mut connection: AppConnection| {
        connection.head().await;
        connection.send("HTTP/1.1 100 Go On\r\n\r\n").await;
        connection.exactly(3).await;
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        // The second one is refused; the client then leaves the body out.
        connection.head().await;
        connection.send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").await;
        connection.head().await;
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!").await;
        connection.head().await;
    })
    .await;
    let setup = Setup::new(none(), app.address).await;
    let mut client = setup.client().await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    client.send(post).await;
    client.expect("HTTP/1.1 100 Go On\r\n\r\n").await;
    client.send("abc").await;
    client.expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    client.send(post).await;
    client.expect("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.expect("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!").await;
}

#[tokio::test]
async fn only_100_asks_for_the_body() {
    let app = App::new(async |mut connection: AppConnection| {
        connection.head().await;
        connection.send("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n").await;
        connection.send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").await;
        connection.head().await;
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!").await;
        connection.head().await;
    })
    .await;
    let setup = Setup::new(some(503), app.address).await;
    let mut client = setup.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\nExpect: 100-continue\r\n\r\n").await;
    client.expect("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n").await;
    client.expect("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").await;
    // It leaves the body out.
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.expect("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!").await;
}

/// Lines of /proc/net/tcp for connections to `port` in TIME_WAIT.
fn time_wait(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields.filter(|fields| fields[2].ends_with(&format!(":{port:04X}")) && fields[3] == "06").count()
}

#[tokio::test]
async fn a_client_that_closes_first_costs_no_port() {
    let app = App::canned("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    for fault in [none(), some(503), forwarding(503)] {
        let setup = Setup::new(fault, app.address).await;
        let stats = setup.responder.stats();
        for connection in ["keep-alive", "close"] {
            for _ in 0..20 {
                let mut client = setup.client().await;
                client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\n\r\n")).await;
                client.reply("GET").await;
            }
        }
        eventually("all are gone", || stats.open_connections() == 0).await;
        assert_eq!(time_wait(app.address.port()), 0);
    }
}

#[tokio::test]
async fn request_and_answer_flow_at_the_same_time() {
    let app = App::new(async |mut connection: AppConnection| {
        connection.head().await;
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n").await;
        for _ in 0..6 {
            let byte = connection.exactly(1).await;
            connection.send(byte).await;
        }
        connection.head().await;
    })
    .await;
    let setup = Setup::new(none(), app.address).await;
    let mut client = setup.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n").await;
    client.expect("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n").await;
    for byte in ["a", "b", "c", "d", "e", "f"] {
        client.send(byte).await;
        client.expect(byte).await;
    }
}

#[tokio::test]
async fn a_client_that_ended_its_side_is_answered() {
    let app = App::new(async |mut connection: AppConnection| {
        connection.head().await;
        assert!(connection.head().await.is_none(), "the client's end comes through");
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .await;
    let setup = Setup::new(none(), app.address).await;
    let mut client = setup.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.end().await;
    client.expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.expect_end().await;
}

#[tokio::test]
async fn ambiguous_framing_passes_raw_for_the_rest_of_the_connection() {
    for head in [
        "POST /fault HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /fault HTTP/1.1\r\nContent-Length: 4\r\ncontent-length: 5\r\n\r\n",
        "POST /fault HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n",
        "GET /fault HTTP/1.1\r\nBad Header: x\r\n\r\n",
        "GET /fault HTTP/1.1\r\nA: folded\r\n line\r\n\r\n",
    ] {
        let app = App::echo().await;
        let setup = Setup::new(some(503), app.address).await;
        let mut client = setup.client().await;
        client.send(head).await;
        client.expect(head).await;
        let more = "0\r\n\r\nGET /fault HTTP/1.1\r\nHost: a\r\n\r\n";
        client.send(more).await;
        client.expect(more).await;
        assert_eq!((setup.counters().not_http, setup.counters().faulted), (1, 0), "{head}");
    }
}

#[tokio::test]
async fn a_wrong_chunk_in_a_spared_body_passes_raw() {
    let app = App::echo().await;
    let setup = Setup::new(none(), app.address).await;
    let mut client = setup.client().await;
    let request = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nwhatever";
    client.send(request).await;
    client.expect(request).await;
}

#[tokio::test]
async fn an_answer_that_is_not_http_passes_raw() {
    let app = App::new(async |mut connection: AppConnection| {
        connection.head().await;
        connection.send("what?\r\n\r\n").await;
        connection.head().await;
    })
    .await;
    let setup = Setup::new(none(), app.address).await;
    let mut client = setup.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.expect("what?\r\n\r\n").await;
}

#[tokio::test]
async fn an_unreachable_application_ends_the_connection_and_is_counted() {
    let setup = Setup::without_app(none()).await;
    let mut client = setup.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.expect_end().await;
    assert_eq!((setup.counters().upstream_errors, setup.counters().spared), (1, 1));
}

#[tokio::test]
async fn a_large_download_and_upload_at_once() {
    const SIZE: usize = 8 << 20;
    let app = App::new(async |mut connection: AppConnection| {
        connection.head().await;
        let upload = connection.exactly(SIZE).await;
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n")).await;
        connection.send(upload).await;
        connection.head().await;
    })
    .await;
    let setup = Setup::new(none(), app.address).await;
    let mut client = setup.client().await;
    let body: Vec<u8> = (0..SIZE).map(|n| (n % 251) as u8).collect();
    client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n")).await;
    client.send(&body).await;
    let reply = in_time("the download", client.reply("PUT")).await;
    assert!(reply.body == body);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_counted() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    let app = App::new(move |mut connection: AppConnection| async move {
        connection.head().await;
        connection.send(half).await;
    })
    .await;
    let setup = Setup::new(none(), app.address).await;
    let mut client = setup.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.expect(half).await;
    client.expect_end().await;
    assert_eq!(setup.counters().upstream_errors, 1);
}
