//! WebSocket and CONNECT: refused when faulted, passed through when spared.

use crate::support::{App, AppConnection, Setup, fault, forwarding, some};

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

fn handshake(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

#[tokio::test]
async fn a_faulted_handshake_is_answered_with_the_status() {
    for fault in [fault(503), some(503)] {
        let setup = Setup::without_app(fault).await;
        let mut client = setup.client().await;
        for _ in 0..2 {
            client.send(handshake("/fault")).await;
            let reply = client.reply("GET").await;
            assert_eq!((reply.status(), reply.header("upgrade")), (503, None));
        }
    }
}

#[tokio::test]
async fn a_forwarded_handshake_asks_for_no_upgrade() {
    let app =
        App::canned("HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n").await;
    let setup = Setup::new(forwarding(503), app.address).await;
    let reply = setup.ask(&handshake("/")).await;
    assert_eq!((reply.status(), reply.header("upgrade")), (503, None));
    let seen = app.seen().to_ascii_lowercase();
    assert!(!seen.contains("upgrade:") && !seen.contains("connection: upgrade"), "{seen}");
}

#[tokio::test]
async fn a_spared_handshake_upgrades_end_to_end() {
    let app = App::new(async |mut connection: AppConnection| {
        connection.head().await;
        // The first frame comes in the same segment as the switch.
        connection.send(format!("{SWITCH}\u{1}first")).await;
        let ping = connection.through("ping").await.unwrap();
        connection.send(ping).await;
        connection.head().await;
    })
    .await;
    let setup = Setup::new(some(503), app.address).await;
    let mut client = setup.client().await;
    client.send("GET /fault HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.reply("GET").await.status(), 503);
    client.send(handshake("/real")).await;
    client.expect(format!("{SWITCH}\u{1}first")).await;
    client.send("GET /fault HTTP/1.1 is just a frame: ping").await;
    client.expect("GET /fault HTTP/1.1 is just a frame: ping").await;
    assert!(app.seen().starts_with(&handshake("/real")));
}

#[tokio::test]
async fn a_faulted_connect_opens_no_tunnel() {
    for fault in [fault(503), forwarding(503), fault(200)] {
        let status = fault.status;
        let setup = Setup::without_app(fault).await;
        let mut client = setup.client().await;
        client.send("CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n").await;
        assert!(client.head().await.starts_with(&format!("HTTP/1.1 {status} ")));
        client.rest().await;
        assert_eq!(setup.counters().faulted, 1);
    }
}

#[tokio::test]
async fn a_spared_connect_is_a_tunnel() {
    let app = App::new(async |mut connection: AppConnection| {
        connection.head().await;
        connection.send("HTTP/1.1 200 Open\r\n\r\n").await;
        let bytes = connection.exactly(6).await;
        connection.send(bytes).await;
    })
    .await;
    let setup = Setup::new(some(503), app.address).await;
    let mut client = setup.client().await;
    client.send("CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n").await;
    client.expect("HTTP/1.1 200 Open\r\n\r\n").await;
    client.send("\x01tunne").await;
    client.expect("\x01tunne").await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_spared_offer_of_http2_takes_nothing_out_of_the_fault() {
    let app = App::canned("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let setup = Setup::new(some(503), app.address).await;
    let mut client = setup.client().await;
    let offer = "GET /real HTTP/1.1\r\nhOST: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
        HTTP2-Settings: AAMAAABkAAQAAP__\r\nX-Odd:1\r\n\r\n";
    for _ in 0..2 {
        client.send(offer).await;
        assert_eq!(client.reply("GET").await.status(), 200);
        client.send(handshake("/fault")).await;
        assert_eq!(client.reply("GET").await.status(), 503);
    }
    assert_eq!(app.seen(), "GET /real HTTP/1.1\r\nhOST: a\r\nX-Odd:1\r\n\r\n".repeat(2));
    let counters = setup.counters();
    assert_eq!((counters.h2c_refused, counters.spared, counters.faulted), (2, 2, 2));
}
