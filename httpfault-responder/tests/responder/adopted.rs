//! Connections of the application that are served here for a time and asked back between two requests.

use std::{sync::Arc, time::Duration};

use httpfault_common::contract::Fault;
use httpfault_responder::{Adopted, Ending, FinishReport, Limits, Released};
use tokio::{net::UnixStream, sync::Semaphore};

use crate::support::{
    App, AppConnection, Client, PATIENCE, Setup, eventually, fault, forwarding, none, some,
};

const GET: &str = "GET /fault HTTP/1.1\r\nHost: a\r\n\r\n";
const SPARED: &str = "GET /real HTTP/1.1\r\nhOST: a\r\n\r\n";
const REAL: &str = "HTTP/1.1 200 Yes\r\nX-Odd:1\r\nContent-Length: 4\r\n\r\nreal";

fn adopt(setup: &Setup) -> (Client, Adopted) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Client::over(ours), setup.responder.adopter().adopt(theirs, setup.app))
}

/// Lets go of the connection, which must be at rest, and sees that nothing more was written.
async fn take_back(client: &mut Client, adopted: &Adopted) {
    eventually_at_rest(adopted).await;
    client.expect_end().await;
    assert_eq!(adopted.release().await, Released::Ended);
}

/// The client may have the last byte of an answer before the responder knows that it is sent.
async fn eventually_at_rest(adopted: &Adopted) {
    let asked = async {
        while adopted.release().await == Released::Busy {
            tokio::task::yield_now().await;
        }
    };
    crate::support::in_time("the connection to be at rest", asked).await;
    assert_eq!(adopted.ended().await, Ending::AtRest);
}

#[tokio::test]
async fn every_kind_of_answer() {
    let app = App::canned(REAL).await;
    for (fault, path, status, faulted) in [
        (fault(503), "/fault", 503, 1),
        (some(503), "/fault", 503, 1),
        (some(503), "/real", 200, 0),
        (forwarding(418), "/fault", 418, 1),
        (none(), "/fault", 200, 0),
    ] {
        let setup = Setup::new(fault, app.address).await;
        let (mut client, adopted) = adopt(&setup);
        for _ in 0..3 {
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            let reply = client.reply("GET").await;
            assert_eq!((reply.status(), reply.header("connection")), (status, None));
        }
        take_back(&mut client, &adopted).await;
        let counters = setup.counters();
        assert_eq!((counters.requests_http11, counters.faulted), (3, 3 * faulted));
    }
}

#[tokio::test]
async fn it_is_counted_among_the_open_ones() {
    let setup = Setup::without_app(fault(503)).await;
    let stats = setup.responder.stats();
    let (mut client, adopted) = adopt(&setup);
    assert_eq!(stats.open_connections(), 1);
    take_back(&mut client, &adopted).await;
    eventually("it is closed", || stats.open_connections() == 0).await;
}

#[tokio::test]
async fn pipelined_and_cut_anywhere() {
    let app = App::canned(REAL).await;
    let setup = Setup::new(some(503), app.address).await;
    let spared = "PUT /real HTTP/1.1\r\nContent-Length: 32\r\n\r\nGET /fault HTTP/1.1\r\nHost: a\r\n\r\n";
    let faulted = "PUT /fault HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        7;x=y\r\nGET /re\r\n3\r\nal \r\n0\r\nX: y\r\n\r\n";
    let all = [faulted, spared, GET, faulted, spared, SPARED].concat();
    for size in [1, 2, 3, 7, 31, 64, 100, all.len()] {
        let (mut client, adopted) = adopt(&setup);
        for piece in all.as_bytes().chunks(size) {
            client.send(piece).await;
        }
        assert_eq!(client.reply("PUT").await.status(), 503);
        client.expect(REAL).await;
        assert_eq!(client.reply("GET").await.status(), 503);
        assert_eq!(client.reply("PUT").await.status(), 503);
        client.expect(REAL.repeat(2)).await;
        take_back(&mut client, &adopted).await;
    }
}

#[tokio::test]
async fn the_beginning_of_the_next_request_keeps_it_busy() {
    let setup = Setup::without_app(fault(503)).await;
    for (begun, rest) in [
        ("G", "ET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r", "\n"),
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", "hello"),
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel", "lo"),
        ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "lo\r\n0\r\n\r\n"),
    ] {
        let (mut client, adopted) = adopt(&setup);
        client.send(GET).await;
        client.reply("GET").await;
        client.send(begun).await;
        for _ in 0..3 {
            assert_eq!(adopted.release().await, Released::Busy, "{begun:?}");
        }
        client.send(rest).await;
        assert_eq!(client.reply("PUT").await.status(), 503);
        // The last of a body may be read after the response.
        take_back(&mut client, &adopted).await;
    }
}

#[tokio::test]
async fn empty_lines_are_no_beginning() {
    let setup = Setup::without_app(fault(503)).await;
    let (mut client, adopted) = adopt(&setup);
    client.send([GET, "\r\n\r\n"].concat()).await;
    client.reply("GET").await;
    client.send("\r").await;
    assert_eq!(adopted.release().await, Released::Busy);
    client.send("\n").await;
    take_back(&mut client, &adopted).await;
}

/// Answers in two halves, each when it is let.
async fn slow_app() -> (App, Arc<Semaphore>) {
    let lets = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&lets);
    let app = App::new(move |mut connection: AppConnection| {
        let waits = Arc::clone(&waits);
        async move {
            while connection.head().await.is_some() {
                waits.acquire().await.unwrap().forget();
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf").await;
                waits.acquire().await.unwrap().forget();
                connection.send("half").await;
            }
        }
    })
    .await;
    (app, lets)
}

#[tokio::test]
async fn an_answer_under_way_keeps_it_busy() {
    for fault in [some(503), forwarding(503)] {
        let (app, lets) = slow_app().await;
        let setup = Setup::new(fault, app.address).await;
        let (mut client, adopted) = adopt(&setup);
        client.send(SPARED).await;
        eventually("the application has it", || app.seen().contains("/real")).await;
        assert_eq!(adopted.release().await, Released::Busy);
        lets.add_permits(1);
        client.head().await;
        client.expect("half").await;
        assert_eq!(adopted.release().await, Released::Busy);
        lets.add_permits(1);
        client.expect("half").await;
        take_back(&mut client, &adopted).await;
    }
}

#[tokio::test]
async fn a_passed_connection_is_never_at_rest() {
    let app = App::echo().await;
    let setup = Setup::new(some(503), app.address).await;
    let (mut client, adopted) = adopt(&setup);
    client.send("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n").await;
    client.head().await;
    assert_eq!(adopted.release().await, Released::Busy);
    client.end().await;
    client.expect_end().await;
    assert_eq!(adopted.ended().await, Ending::Closed);
}

#[tokio::test]
async fn an_answer_that_closes_ends_it() {
    let app = App::canned("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    let setup = Setup::new(some(503), app.address).await;
    for request in [
        "GET /fault HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /fault HTTP/1.0\r\n\r\n",
        "POST /fault HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
        SPARED,
    ] {
        let (mut client, adopted) = adopt(&setup);
        client.send(request).await;
        client.reply("GET").await;
        client.expect_end().await;
        drop(client);
        assert_eq!(adopted.ended().await, Ending::Closed);
        assert_eq!(adopted.release().await, Released::Ended);
    }
}

#[tokio::test]
async fn the_client_ends_it() {
    let setup = Setup::without_app(fault(503)).await;
    let (mut client, adopted) = adopt(&setup);
    client.send(GET).await;
    client.end().await;
    assert_eq!(client.reply("GET").await.status(), 503);
    client.expect_end().await;
    drop(client);
    assert_eq!(adopted.ended().await, Ending::Closed);
}

#[tokio::test]
async fn after_the_end_its_client_notices_nothing() {
    let app = App::canned(REAL).await;
    for fault in [fault(503), Fault { percent: 50.0, ..fault(503) }, forwarding(503)] {
        let setup = Setup::new(fault, app.address).await;
        let (mut client, adopted) = adopt(&setup);
        client.send(GET).await;
        client.reply("GET").await;
        setup.responder.leave();
        for _ in 0..3 {
            client.send(GET).await;
            client.expect(REAL).await;
        }
        take_back(&mut client, &adopted).await;
    }
}

#[tokio::test]
async fn finish_lets_go_of_what_nobody_asked_back() {
    let setup = Setup::without_app(fault(503)).await;
    let (mut client, adopted) = adopt(&setup);
    client.send(GET).await;
    client.reply("GET").await;
    let report = setup.responder.finish(Duration::from_millis(20)).await;
    assert_eq!(report, FinishReport { closed_idle: 1, ..FinishReport::default() });
    assert_eq!(adopted.ended().await, Ending::AtRest);
    client.expect_end().await;
}

#[tokio::test]
async fn finish_does_not_wait_for_what_was_asked_back() {
    let setup = Setup::without_app(fault(503)).await;
    let (mut client, adopted) = adopt(&setup);
    client.send(GET).await;
    client.reply("GET").await;
    setup.responder.leave();
    take_back(&mut client, &adopted).await;
    let finished = crate::support::in_time("finish", setup.responder.finish(PATIENCE * 2)).await;
    assert_eq!(finished.closed_idle, 0);
}

#[tokio::test]
async fn one_that_is_idle_for_too_long_is_let_go() {
    let limits = Limits { idle_time: Duration::from_millis(20), ..Limits::default() };
    let app = App::canned(REAL).await;
    let setup = Setup::with_limits(fault(503), app.address, limits).await;
    let (mut client, adopted) = adopt(&setup);
    client.expect_end().await;
    assert_eq!(adopted.ended().await, Ending::AtRest);
}

#[tokio::test]
async fn who_does_not_ask_changes_nothing() {
    let setup = Setup::without_app(fault(503)).await;
    let (mut client, adopted) = adopt(&setup);
    drop(adopted);
    for _ in 0..2 {
        client.send(GET).await;
        assert_eq!(client.reply("GET").await.status(), 503);
    }
}
