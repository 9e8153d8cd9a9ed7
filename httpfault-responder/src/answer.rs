//! Answering one request with hyper, whichever HTTP version it came in.

mod body;
mod discard;
mod forward;
mod headers;

use std::{net::SocketAddr, sync::Arc};

use hyper::{
    Method, Request, Response, Version,
    body::Incoming,
    header::{CONNECTION, HeaderValue},
};

pub(crate) use body::AnswerBody;

use self::discard::{Fate, discard_body};
use crate::{
    activity::Track,
    context::Context,
    decide::{Action, Facts, FaultIs, PROBE, Verdict, path_of},
    injected::is_grpc,
    stats::add_one,
    upstream::{NoAnswer, UpstreamHttp},
};

/// What answering needs to know of a client connection.
pub(crate) struct Answerer {
    context: Arc<Context>,
    upstream: Arc<UpstreamHttp>,
    track: Arc<Track>,
    /// Already decided, by the gate.
    verdict: Option<Verdict>,
}

impl Answerer {
    pub(crate) fn new(
        context: &Arc<Context>,
        origin: SocketAddr,
        track: &Arc<Track>,
        verdict: Option<Verdict>,
    ) -> Self {
        let upstream = Arc::new(UpstreamHttp::new(origin));
        Self { context: Arc::clone(context), upstream, track: Arc::clone(track), verdict }
    }

    /// The same connection, for a request that is decided.
    pub(crate) fn with_verdict(&self, verdict: Verdict) -> Self {
        Self {
            context: Arc::clone(&self.context),
            upstream: Arc::clone(&self.upstream),
            track: Arc::clone(&self.track),
            verdict: Some(verdict),
        }
    }

    fn verdict(&self, request: &Request<Incoming>) -> Verdict {
        if let Some(verdict) = self.verdict {
            return verdict;
        }
        let target = request.uri();
        let path = target.path_and_query().map_or_else(|| path_of(target.path()), |path| path.as_str());
        let facts = Facts { method: request.method().as_str(), path, headers: request.headers() };
        let now = if self.context.life.left() { FaultIs::Over } else { FaultIs::On };
        self.context.decider.verdict(facts, now)
    }
}

/// Decides and answers. An error ends the stream or the connection: there is no answer of the application to give.
pub(crate) async fn answer(
    answerer: Arc<Answerer>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, NoAnswer> {
    let busy = answerer.track.begin();
    let stats = &answerer.context.stats;
    let verdict = answerer.verdict(&request);
    if verdict != Verdict::Probe {
        stats.count_request(request.version());
    }
    let response = match verdict {
        Verdict::Probe => probed(&answerer, request).await,
        Verdict::Fault(action) => {
            add_one(&stats.here().faulted);
            match action {
                // A tunnel is never opened for a faulted request, so there is nothing to ask the application for.
                Action::ReplaceStatus if request.method() != Method::CONNECT => {
                    Box::pin(forward::with_status_replaced(&answerer, request)).await
                }
                Action::ReplaceStatus | Action::Answer => injected(&answerer, request).await,
            }
        }
        Verdict::Spare => {
            add_one(&stats.here().spared);
            Box::pin(forward::untouched(&answerer, request)).await?
        }
    };
    Ok(response.map(|body| body.holding(busy)))
}

/// The fault, without the application.
async fn injected(answerer: &Answerer, request: Request<Incoming>) -> Response<AnswerBody> {
    let context = &answerer.context;
    if is_grpc(request.version(), request.headers()) {
        // The request's body goes unread: a client that streams may never end it. h2 resets the stream without an error.
        return context.injected.grpc_response().map(AnswerBody::full);
    }
    let injected = context.injected.response(request.method(), request.headers());
    let mut response = injected.map(AnswerBody::full);
    let is_http1 = request.version() != Version::HTTP_2;
    // The client may take what follows for a tunnel.
    let is_tunnel = *request.method() == Method::CONNECT;
    let fate = discard_body(request, context, &answerer.track).await;
    if is_http1 && (is_tunnel || fate == Fate::Closes) {
        close(&mut response);
    }
    response
}

/// The fault as the driver's probe gets it: the application is left alone even where faults call it.
async fn probed(answerer: &Answerer, request: Request<Incoming>) -> Response<AnswerBody> {
    let mut response = injected(answerer, request).await;
    if let Ok(token) = HeaderValue::from_str(answerer.context.decider.probe_token()) {
        response.headers_mut().insert(PROBE, token);
    }
    response
}

fn close(response: &mut Response<AnswerBody>) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}
