//! gRPC calls fail as a gRPC server would have them fail: in trailers, with HTTP status 200.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, channel::Channel, combinators::BoxBody};
use httpfault_common::contract::{Fault, GrpcError};
use hyper::{
    HeaderMap, Request, Response,
    body::{Body as _, Incoming},
    client::conn::http2::{SendRequest, handshake},
    header::HeaderValue,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Setup, fault, forwarding, in_time, some};

type Body = BoxBody<Bytes, Infallible>;

async fn connect(address: SocketAddr) -> SendRequest<Body> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn call(path: &str, kind: &str, body: Body) -> Request<Body> {
    let uri = format!("http://shop.test{path}");
    Request::post(uri).header("te", "trailers").header("content-type", kind).body(body).unwrap()
}

fn message() -> Body {
    Full::new(Bytes::from_static(b"\0\0\0\0\x01x")).boxed()
}

async fn answer(setup: &Setup, request: Request<Body>) -> Response<Incoming> {
    in_time("an answer", connect(setup.address).await.send_request(request)).await.unwrap()
}

#[track_caller]
fn is_trailers_only(response: &Response<Incoming>, status: &str) {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    assert_eq!(response.headers()["grpc-status"], status);
    assert_eq!(response.headers().get("content-length"), None);
    assert_eq!(response.headers()["x-httpfault"], "exp-1");
    assert!(response.body().is_end_stream(), "one HEADERS frame with END_STREAM");
}

#[tokio::test]
async fn the_status_code_becomes_the_status_that_clients_make_of_it() {
    for (status, grpc) in [
        (400, "13"),
        (401, "16"),
        (403, "7"),
        (404, "12"),
        (429, "14"),
        (500, "2"),
        (502, "14"),
        (503, "14"),
        (504, "14"),
        (200, "2"),
    ] {
        for kind in ["application/grpc", "application/grpc+proto", "application/grpc;x=y"] {
            let setup = Setup::without_app(fault(status)).await;
            let response = answer(&setup, call("/a.B/C", kind, message())).await;
            is_trailers_only(&response, grpc);
            let text = response.headers()["grpc-message"].to_str().unwrap();
            assert!(text.contains("injected by httpfault, experiment exp-1"), "{text}");
            assert_eq!(setup.counters().faulted, 1);
        }
    }
}

#[tokio::test]
async fn other_requests_are_answered_with_the_status() {
    let setup = Setup::without_app(fault(503)).await;
    for kind in ["application/grpc-web", "application/json", "application/grpcx"] {
        let response = answer(&setup, call("/", kind, message())).await;
        assert_eq!((response.status().as_u16(), response.headers().get("grpc-status")), (503, None));
    }
}

#[tokio::test]
async fn a_given_status_and_message_are_used() {
    let error = GrpcError {
        status: Some("RESOURCE_EXHAUSTED".parse().unwrap()),
        message: Some("too much: 100 % of\u{e4}\n".into()),
    };
    let setup = Setup::without_app(Fault { grpc: error, ..fault(503) }).await;
    let response = answer(&setup, call("/a.B/C", "application/grpc", message())).await;
    is_trailers_only(&response, "8");
    assert_eq!(response.headers()["grpc-message"], "too much: 100 %25 of%C3%A4%0A");
}

#[tokio::test]
async fn a_client_that_still_streams_is_told_to_stop() {
    let setup = Setup::without_app(fault(503)).await;
    let (mut sends, body) = Channel::<Bytes, Infallible>::new(1);
    let response = answer(&setup, call("/a.B/C", "application/grpc", body.boxed())).await;
    is_trailers_only(&response, "14");
    response.into_body().collect().await.unwrap();
    // RST_STREAM drops the request's body at the client; without it the client could go on for ever.
    let sending = async { while sends.send_data(Bytes::from_static(&[0; 1024])).await.is_ok() {} };
    in_time("the stream to be reset", sending).await;
}

/// A gRPC server: `/ok` succeeds, `/missing` is NOT_FOUND in a trailers-only answer, `/plain` is no gRPC answer, and
/// `/short` forgets the trailers.
async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service_fn(serve)));
        }
    });
    address
}

async fn serve(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    request.into_body().collect().await.unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers.insert("grpc-status-details-bin", HeaderValue::from_static("AAAA"));
    trailers.insert("x-cost", HeaderValue::from_static("3"));
    let data = Full::new(Bytes::from_static(b"\0\0\0\0\x01y"));
    let grpc = Response::builder().header("content-type", "application/grpc");
    Ok(match path.as_str() {
        "/missing" => {
            grpc.header("grpc-status", "5").header("grpc-message", "no").body(Empty::new().boxed()).unwrap()
        }
        "/plain" => Response::builder().status(415).body(Empty::new().boxed()).unwrap(),
        "/short" => grpc.body(data.boxed()).unwrap(),
        _ => grpc.body(data.with_trailers(async { Some(Ok(trailers)) }).boxed()).unwrap(),
    })
}

#[tokio::test]
async fn with_the_applications_answer_no_call_succeeds() {
    let setup = Setup::new(forwarding(503), server().await).await;
    for path in ["/ok", "/short"] {
        let response = answer(&setup, call(path, "application/grpc", message())).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-httpfault"]),
            (200, &"exp-1".parse().unwrap())
        );
        let body = response.into_body().collect().await.unwrap();
        let trailers = body.trailers().unwrap().clone();
        assert_eq!(body.to_bytes(), &b"\0\0\0\0\x01y"[..]);
        assert_eq!(trailers["grpc-status"], "14", "{path}");
        assert!(trailers["grpc-message"].to_str().unwrap().contains("injected by httpfault"));
        assert_eq!(trailers.get("grpc-status-details-bin"), None);
        assert_eq!(trailers.contains_key("x-cost"), path == "/ok");
    }
    let response = answer(&setup, call("/missing", "application/grpc", message())).await;
    is_trailers_only(&response, "14");
    let response = answer(&setup, call("/plain", "application/grpc", message())).await;
    assert_eq!(response.status(), 503);
    assert_eq!((setup.counters().faulted, setup.counters().forwarded), (4, 4));
}

#[tokio::test]
async fn without_the_application_the_answer_is_trailers_only() {
    let setup = Setup::without_app(forwarding(503)).await;
    is_trailers_only(&answer(&setup, call("/ok", "application/grpc", message())).await, "14");
}

#[tokio::test]
async fn spared_calls_are_the_applications() {
    let setup = Setup::new(some(503), server().await).await;
    let response = answer(&setup, call("/ok", "application/grpc", message())).await;
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
}
