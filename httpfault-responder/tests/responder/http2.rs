//! HTTP/2 with prior knowledge.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use httpfault_common::contract::Fault;
use httpfault_responder::Limits;
use hyper::{
    HeaderMap, Request, Response, Version,
    body::{Frame, Incoming},
    client::conn::http2::{SendRequest, handshake},
    header::HeaderValue,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use crate::support::{App, Setup, fault, forwarding, in_time, some};

type Sender = SendRequest<Full<Bytes>>;

async fn connect(address: SocketAddr) -> (Sender, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn request(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let uri = format!("http://shop.test{path}");
    Request::post(uri).header("te", "trailers").body(Full::new(body.into())).unwrap()
}

async fn ask(sender: &Sender, path: &str, body: impl Into<Bytes>) -> Response<Incoming> {
    let mut sender = sender.clone();
    in_time("an HTTP/2 response", sender.send_request(request(path, body))).await.unwrap()
}

async fn text(response: Response<Incoming>) -> (String, Option<HeaderMap>) {
    let body = response.into_body().collect().await.unwrap();
    let trailers = body.trailers().cloned();
    (String::from_utf8(body.to_bytes().to_vec()).unwrap(), trailers)
}

/// An HTTP/2 application: tells what it saw, and adds trailers.
async fn app() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(see);
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

async fn see(request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    assert_eq!(request.version(), Version::HTTP_2);
    let target = request.uri().to_string();
    let length = request.into_body().collect().await.unwrap().to_bytes().len();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [Ok(Frame::data(Bytes::from(format!("{target} {length}")))), Ok(Frame::trailers(trailers))];
    let body = StreamBody::new(Frames(frames.into_iter()));
    Ok(Response::builder().header("x-app", "1").body(BodyExt::boxed(body)).unwrap())
}

/// An iterator as the stream that `StreamBody` takes.
struct Frames<I>(I);

impl<I: Iterator + Unpin> futures_core::Stream for Frames<I> {
    type Item = I::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<I::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}

#[tokio::test]
async fn many_streams_at_once_are_faulted() {
    let setup = Setup::without_app(fault(503)).await;
    let (sender, _) = connect(setup.address).await;
    let mut streams = JoinSet::new();
    for _ in 0..500 {
        let sender = sender.clone();
        streams.spawn(async move {
            let response = ask(&sender, "/", "body").await;
            assert_eq!(response.status(), 503);
            assert_eq!(response.headers()["x-httpfault"], "exp-1");
            assert!(text(response).await.0.contains("503 Service Unavailable"));
        });
    }
    while let Some(stream) = streams.join_next().await {
        stream.unwrap();
    }
    assert_eq!((setup.counters().requests_http2, setup.counters().faulted), (500, 500));
}

#[tokio::test]
async fn forwarded_with_trailers() {
    let setup = Setup::new(forwarding(500), app().await).await;
    let (sender, _) = connect(setup.address).await;
    for _ in 0..3 {
        let response = ask(&sender, "/a?b", "12345").await;
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["x-app"], "1");
        let (body, trailers) = text(response).await;
        assert_eq!(body, "http://shop.test/a?b 5");
        assert_eq!(trailers.unwrap()["grpc-status"], "0");
    }
    assert_eq!(setup.counters().forwarded, 3);
}

#[tokio::test]
async fn spared_streams_are_the_applications() {
    let setup = Setup::new(some(503), app().await).await;
    let (sender, _) = connect(setup.address).await;
    for _ in 0..3 {
        assert_eq!(ask(&sender, "/fault", "").await.status(), 503);
        let response = ask(&sender, "/real", "123").await;
        assert_eq!((response.status().as_u16(), response.headers().get("x-httpfault")), (200, None));
        let (body, trailers) = text(response).await;
        assert_eq!(body, "http://shop.test/real 3");
        assert_eq!(trailers.unwrap()["grpc-status"], "0");
    }
    let counters = setup.counters();
    assert_eq!((counters.faulted, counters.spared), (3, 3));
}

#[tokio::test]
async fn the_share_is_that_of_streams() {
    let setup = Setup::new(Fault { percent: 50.0, ..fault(503) }, app().await).await;
    let (sender, _) = connect(setup.address).await;
    for _ in 0..100 {
        ask(&sender, "/", "").await;
    }
    let counters = setup.counters();
    assert_eq!(counters.faulted + counters.spared, 100);
    assert!((25..=75).contains(&counters.faulted), "{}", counters.faulted);
}

#[tokio::test]
async fn a_large_upload_gets_the_status_and_others_go_on() {
    let setup = Setup::without_app(fault(503)).await;
    let (sender, _) = connect(setup.address).await;
    let response = ask(&sender, "/", vec![0; 50 << 20]).await;
    assert_eq!(response.status(), 503);
    assert_eq!(ask(&sender, "/", "").await.status(), 503);
}

#[tokio::test]
async fn without_application_forwarding_gets_the_chaos_body_and_sparing_a_reset_stream() {
    let setup = Setup::without_app(forwarding(503)).await;
    let (sender, _) = connect(setup.address).await;
    let response = ask(&sender, "/", "x").await;
    assert_eq!(response.status(), 503);
    assert!(text(response).await.0.contains("injected by httpfault"));
    assert_eq!(setup.counters().upstream_errors, 1);

    let setup = Setup::without_app(some(503)).await;
    let (mut sender, _) = connect(setup.address).await;
    assert!(sender.send_request(request("/real", "")).await.is_err());
    assert_eq!(ask(&sender, "/fault", "").await.status(), 503, "only the stream was reset");
}

#[tokio::test]
async fn http1_clients_of_an_http1_application_share_the_port() {
    let app = App::canned("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let setup = Setup::new(fault(503), app.address).await;
    let (sender, _) = connect(setup.address).await;
    assert_eq!(ask(&sender, "/", "").await.status(), 503);
    assert_eq!(setup.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status(), 503);
}

#[tokio::test]
async fn leaving_sends_goaway_and_finishes_what_had_begun() {
    let setup = Setup::new(fault(503), app().await).await;
    let (sender, connection) = connect(setup.address).await;
    assert_eq!(ask(&sender, "/", "").await.status(), 503);
    let report = setup.responder.finish(Duration::from_secs(10)).await;
    in_time("the client's connection", connection).await.unwrap().unwrap();
    assert_eq!((report.ended, report.closed_idle, report.cut_serving), (1, 0, 0));
}

#[tokio::test]
async fn a_new_connection_after_the_end_is_the_applications_and_short() {
    let setup = Setup::new(fault(503), app().await).await;
    setup.responder.leave();
    let stream = TcpStream::connect(setup.address).await.unwrap();
    let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    // The request is on its way before the connection has heard of the end.
    let answer = sender.send_request(request("/real", "12"));
    let connection = tokio::spawn(connection);
    let (body, _) = text(in_time("the answer", answer).await.unwrap()).await;
    assert_eq!(body, "http://shop.test/real 2");
    in_time("the end", connection).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_order() {
    let limits = Limits { idle_time: Duration::from_millis(50), ..Limits::default() };
    let setup = Setup::with_limits(fault(503), app().await, limits).await;
    let (sender, connection) = connect(setup.address).await;
    assert_eq!(ask(&sender, "/", "").await.status(), 503);
    in_time("the client's connection", connection).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_connection_gives_its_place_to_others() {
    let limits = Limits { max_connections: 1, ..Limits::default() };
    let setup = Setup::with_limits(fault(503), app().await, limits).await;
    let (sender, connection) = connect(setup.address).await;
    assert_eq!(ask(&sender, "/", "").await.status(), 503);
    let (other, _) = connect(setup.address).await;
    assert_eq!(ask(&other, "/", "").await.status(), 503);
    in_time("the first client's connection", connection).await.unwrap().unwrap();
}
