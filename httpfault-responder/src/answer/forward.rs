//! MODIFY_RESPONSE_BODY=false: the application answers, its status is replaced. And streams that are not faulted at all.

use hyper::{
    Method, Request, Response, StatusCode, Uri, Version,
    body::{Body as _, Incoming},
    header::{CONTENT_LENGTH, HOST, HeaderValue, TRAILER, TRANSFER_ENCODING},
    http::{request::Parts, uri::Scheme},
    upgrade::OnUpgrade,
};

use super::{
    Answerer,
    body::{AnswerBody, Trailers},
    close,
    headers::{expects_continue, remove_hop_by_hop, remove_hop_by_hop_of_request},
};
use crate::{
    injected::{is_bodiless, is_grpc},
    stats::add_one,
    upstream::{ForwardedBody, NoAnswer, wait_for_continue},
};

/// The application's answer with the fault's status. If there is none: the injected body.
pub(super) async fn with_status_replaced(
    answerer: &Answerer,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let injected = &answerer.context.injected;
    let (method, headers) = (request.method().clone(), request.headers().clone());
    let version = request.version();
    let is_call = is_grpc(version, &headers);
    match call(answerer, request).await {
        Ok(answer) => {
            add_one(&answerer.context.stats.here().forwarded);
            if is_call && is_grpc(version, answer.headers()) {
                return fail_call(answerer, answer);
            }
            let answered = answer.status();
            let mut response = carry_back(answerer, answer, Trailers::AsTheyAre);
            injected.mark(&mut response);
            reframe(&mut response, answered, &method);
            response
        }
        Err(error) => {
            report(answerer, &error);
            if is_call {
                return injected.grpc_response().map(AnswerBody::full);
            }
            let mut response = injected.response(&method, &headers).map(AnswerBody::full);
            if version != Version::HTTP_2 {
                // What is left of the request's body went with the broken connection.
                close(&mut response);
            }
            response
        }
    }
}

/// The application's answer to a gRPC call: its messages, and the failure in place of its end.
fn fail_call(answerer: &Answerer, answer: Response<Incoming>) -> Response<AnswerBody> {
    let injected = &answerer.context.injected;
    let is_trailers_only = answer.body().is_end_stream();
    let trailers = if is_trailers_only { Trailers::AsTheyAre } else { Trailers::FailCall };
    let mut response = carry_back(answerer, answer, trailers);
    injected.mark_grpc(&mut response);
    if is_trailers_only {
        injected.mark_trailers(response.headers_mut());
    }
    response
}

/// The application's answer as it is. HTTP/1 comes here only when the fault ended between two requests of one read; the
/// connection goes to the gate after it, which also ends it.
pub(super) async fn untouched(
    answerer: &Answerer,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, NoAnswer> {
    let answer = call(answerer, request).await.inspect_err(|error| report(answerer, error))?;
    Ok(carry_back(answerer, answer, Trailers::AsTheyAre))
}

async fn call(answerer: &Answerer, request: Request<Incoming>) -> Result<Response<Incoming>, NoAnswer> {
    let (mut parts, body) = request.into_parts();
    let is_http1 = parts.version != Version::HTTP_2;
    remove_hop_by_hop_of_request(&mut parts.headers, is_http1);
    parts.extensions.remove::<OnUpgrade>();
    if !is_http1 {
        complete_target(&mut parts);
    }
    let expects = parts.version == Version::HTTP_11 && expects_continue(&parts.headers);
    let busy = answerer.track.reading_body();
    let mut upstream = Request::from_parts(parts, ForwardedBody::new(body, busy));
    if expects {
        wait_for_continue(&mut upstream);
    }
    answerer.upstream.send(upstream, &answerer.context).await
}

/// An HTTP/2 request may name its host in Host alone; sending one needs scheme and authority in the target.
fn complete_target(parts: &mut Parts) {
    let mut target = parts.uri.clone().into_parts();
    if parts.method == Method::CONNECT {
        return;
    }
    if target.authority.is_none() {
        let host = parts.headers.get(HOST).map(HeaderValue::as_bytes).unwrap_or(b"localhost");
        target.authority = host.try_into().ok();
    }
    target.scheme.get_or_insert(Scheme::HTTP);
    if target.path_and_query.is_none() {
        target.path_and_query = Some(hyper::http::uri::PathAndQuery::from_static("/"));
    }
    if let Ok(complete) = Uri::from_parts(target) {
        parts.uri = complete;
    }
}

fn carry_back(answerer: &Answerer, answer: Response<Incoming>, trailers: Trailers) -> Response<AnswerBody> {
    let mut response = answer.map(|body| AnswerBody::streamed(body, &answerer.context, trailers));
    remove_hop_by_hop(response.headers_mut());
    response.extensions_mut().remove::<OnUpgrade>();
    // The client's own version is for hyper to know; this one was the application's.
    *response.version_mut() = Version::HTTP_11;
    response
}

/// Makes the framing fit the new status. The old one may have had no body and a length that meant something else.
fn reframe(response: &mut Response<AnswerBody>, answered: StatusCode, method: &Method) {
    let becomes_bodiless = is_bodiless(response.status());
    let was_bodiless = answered.is_informational() || is_bodiless(answered);
    if becomes_bodiless || was_bodiless && *method != Method::HEAD {
        for name in [CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER] {
            response.headers_mut().remove(name);
        }
    }
    if becomes_bodiless {
        *response.body_mut() = AnswerBody::empty();
        if response.status() == StatusCode::RESET_CONTENT {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(0));
        }
    }
}

/// Failed connections are counted where they are made.
fn report(answerer: &Answerer, error: &NoAnswer) {
    if let NoAnswer::BrokeOff { .. } = error {
        add_one(&answerer.context.stats.here().upstream_errors);
    }
    log::debug!("no answer of the application: {error}");
}
