//! HTTP/1: bytes in, and what comes back in a few words.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long a connection that is kept is watched.
const KEPT: Duration = Duration::from_millis(100);

pub(crate) fn rows() -> Vec<(&'static str, String)> {
    let get = |more: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{more}\r\n");
    let post = |more: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{more}\r\n{body}");
    vec![
        ("GET", get("")),
        ("GET, `Connection: close`", get("Connection: close\r\n")),
        ("HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        ("HTTP/1.0", "GET / HTTP/1.0\r\n\r\n".into()),
        ("HTTP/1.0, `Connection: keep-alive`", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".into()),
        ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n".into()),
        ("two requests in one segment", get("") + &get("")),
        ("POST with a length", post("Content-Length: 3\r\n", "abc")),
        ("POST in chunks", post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n")),
        ("POST, `Expect: 100-continue`", post("Content-Length: 3\r\nExpect: 100-continue\r\n", "")),
        ("OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        ("WebSocket handshake", get("Connection: Upgrade\r\nUpgrade: websocket\r\n")),
        (
            "`Upgrade: h2c`",
            get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n"),
        ),
        ("150 header lines", get(&"X: y\r\n".repeat(150))),
        ("300 header lines", get(&"X: y\r\n".repeat(300))),
        ("a head of 70 KB", get(&format!("X: {}\r\n", "x".repeat(70_000)))),
        ("a header line without colon", get("no colon\r\n")),
        ("a folded header line", get("A: b\r\n c\r\n")),
        ("a line feed alone ends lines", "GET / HTTP/1.1\nHost: a\n\n".into()),
        ("two lengths", post("Content-Length: 3\r\nContent-Length: 4\r\n", "abc")),
        ("length and chunks", post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
        ("half a head, then nothing", "GET / HTTP/1.1\r\nHo".into()),
        ("gRPC-Web", post("Content-Type: application/grpc-web\r\nContent-Length: 0\r\n", "")),
    ]
}

/// Every answer, and whether the connection stays.
pub(crate) async fn see(address: SocketAddr, request: &str) -> String {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let first = timeout(Duration::from_secs(2), client.read_buf(&mut bytes)).await;
    if first.is_err() {
        return "nothing yet: it waits for more".into();
    }
    let ended = loop {
        match timeout(KEPT, client.read_buf(&mut bytes)).await {
            Err(_elapsed) => break "kept",
            Ok(Ok(0)) => break "closed",
            Ok(Ok(_)) => {}
            Ok(Err(_)) => break "reset",
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    let answers: Vec<String> = text.split("HTTP/1.").skip(1).map(describe).collect();
    if answers.is_empty() { ended.into() } else { format!("{}; {ended}", answers.join(", ")) }
}

fn describe(answer: &str) -> String {
    let status = answer.get(2..5).unwrap_or("???");
    let is_fault = answer.to_ascii_lowercase().contains("\r\nx-httpfault:");
    let stored = answer.to_ascii_lowercase().contains("max-age");
    super::words(status, is_fault, stored)
}
