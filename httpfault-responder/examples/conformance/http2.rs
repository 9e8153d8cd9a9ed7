//! HTTP/2 with prior knowledge: one request, and what comes back in a few words.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, channel::Channel, combinators::BoxBody};
use hyper::{Request, client::conn::http2::handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

#[derive(Clone, Copy)]
pub(crate) enum Ask {
    Get,
    Post,
    Grpc,
    /// The client goes on sending.
    GrpcUpload,
}

pub(crate) fn rows() -> [(&'static str, Ask); 4] {
    [
        ("GET", Ask::Get),
        ("POST", Ask::Post),
        ("gRPC call", Ask::Grpc),
        ("gRPC call whose request does not end", Ask::GrpcUpload),
    ]
}

pub(crate) async fn see(address: SocketAddr, ask: Ask) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().uri("http://a/").header("te", "trailers");
    let grpc =
        |body| Request::post("http://a/").header("content-type", "application/grpc").body(body).unwrap();
    let message = || Full::new(Bytes::from_static(b"\0\0\0\0\x01x")).boxed();
    let request: Request<BoxBody<Bytes, Infallible>> = match ask {
        Ask::Get => request.body(Empty::new().boxed()).unwrap(),
        Ask::Post => request.method("POST").body(message()).unwrap(),
        Ask::Grpc => grpc(message()),
        Ask::GrpcUpload => {
            let (mut sends, body) = Channel::new(1);
            // Until it is told to stop, but not for ever.
            tokio::spawn(async move {
                for _ in 0..1000 {
                    if sends.send_data(Bytes::from_static(b"more")).await.is_err() {
                        return;
                    }
                }
            });
            grpc(body.boxed())
        }
    };
    let response = sender.send_request(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let is_fault = parts.headers.contains_key("x-httpfault");
    let stored = parts.headers.get("cache-control").is_some_and(|value| value == "max-age=3600");
    let mut words = super::words(parts.status.as_str(), is_fault, stored);
    let in_trailers = body.trailers().and_then(|trailers| trailers.get("grpc-status"));
    if let Some(status) = parts.headers.get("grpc-status").or(in_trailers) {
        words += &format!(", grpc-status {}", status.to_str().unwrap());
    }
    words
}
