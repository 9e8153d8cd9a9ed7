//! An application that speaks HTTP/1, HTTP/2 and gRPC, and whose answers may be stored by caches.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    HeaderMap, Request, Response, Version, body::Incoming, header::HeaderValue, service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

type Answer = Response<BoxBody<Bytes, Infallible>>;

pub(crate) async fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn serve(stream: TcpStream) {
    let mut preface = [0; 4];
    let is_http2 = stream.peek(&mut preface).await.is_ok_and(|_| preface == *b"PRI ");
    let io = TokioIo::new(stream);
    let service = service_fn(answer);
    // A client that goes away is no matter here.
    let _gone = if is_http2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
    } else {
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.max_headers(1000).serve_connection(io, service).with_upgrades().await
    };
}

async fn answer(request: Request<Incoming>) -> Result<Answer, Infallible> {
    let is_grpc = request.headers().get("content-type").is_some_and(|kind| kind == "application/grpc");
    let is_http2 = request.version() == Version::HTTP_2;
    let offers = request.headers().get("upgrade").cloned();
    let _all_of_it = request.into_body().collect().await;
    let response = Response::builder().header("cache-control", "max-age=3600");
    if is_grpc && is_http2 {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let body =
            Full::new(Bytes::from_static(b"\0\0\0\0\x01y")).with_trailers(async { Some(Ok(trailers)) });
        return Ok(response.header("content-type", "application/grpc").body(body.boxed()).unwrap());
    }
    if let Some(offer) = offers {
        let switch = Response::builder().status(101).header("connection", "upgrade").header("upgrade", offer);
        return Ok(switch.body(BoxBody::default()).unwrap());
    }
    Ok(response.body(Full::new(Bytes::from_static(b"real")).boxed()).unwrap())
}
