//! The server: one port for all services. A request is told apart by `X-Amz-Target` (ECS, SSM), by the form field
//! `Action` (STS) or by its path (CloudWatch, credential endpoints).

mod api;
mod cbor;
mod credentials;
mod error;
mod reply;

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::HeaderName;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

pub(crate) use api::{Context, invalid_token, page, read};
pub(crate) use credentials::{CONTAINER_PATH, CONTAINER_TOKEN};
pub(crate) use error::ApiError;

use crate::state::Shared;

/// The largest request that is read. AWS's own limit for these services is below it.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// Serves until the runtime ends.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, Arc::clone(&shared)))),
            // Out of file descriptors: connections that end give some back.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(|request| answer(Arc::clone(&shared), request));
    // A client that goes away, and a connection that a fault closes, are both errors here and no news.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// An error closes the connection without an answer.
async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Dropped> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "the simulator reads at most 4 MiB"));
    };
    let body = body.to_bytes();
    if let Some(response) = credentials::answer(&shared, &head, &body) {
        return Ok(response);
    }
    if let Some(response) = crate::s3::answer(&shared, &head, &body) {
        return Ok(response);
    }
    api::answer(&shared, &head, &body).await
}

/// The connection ends here, as a fault asked for.
#[derive(Debug, thiserror::Error)]
#[error("the simulator drops this connection because a test asked for it")]
pub(crate) struct Dropped;

fn header<'a>(head: &'a Parts, name: &str) -> &'a str {
    head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    response(status, "text/plain", Bytes::copy_from_slice(text.as_bytes()))
}

pub(crate) fn response(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let id = uuid::Uuid::new_v4().to_string();
    let headers = response.headers_mut();
    headers.insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    if let Ok(id) = id.parse() {
        headers.insert(HeaderName::from_static("x-amzn-requestid"), id);
    }
    response
}
