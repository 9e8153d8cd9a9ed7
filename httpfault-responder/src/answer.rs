//! Answering one request with hyper, whichever HTTP version it came in.

mod body;
mod drain;
mod forward;
mod headers;
mod onward;
mod replacement;

use std::{net::SocketAddr, sync::Arc};

use hyper::{
    Method, Request, Response, Version,
    body::Incoming,
    header::{CONNECTION, HeaderValue},
};

pub(crate) use body::AnswerBody;
pub(crate) use onward::NoAnswer as Unanswered;
pub(crate) use replacement::Replacements;

use self::{
    drain::{Fate, dispose},
    onward::Onward,
};
use crate::{
    decide::{Facts, PROBE, Phase, Verdict, path_of},
    http1::Track,
    responder::Shared,
    stats::add_one,
};

/// What answering needs to know of a client connection.
pub(crate) struct Answerer {
    shared: Arc<Shared>,
    onward: Arc<Onward>,
    track: Arc<Track>,
    /// Already decided, by the gate.
    verdict: Option<Verdict>,
}

impl Answerer {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        origin: SocketAddr,
        track: &Arc<Track>,
        verdict: Option<Verdict>,
    ) -> Self {
        let onward = Arc::new(Onward::new(origin));
        Self { shared: Arc::clone(shared), onward, track: Arc::clone(track), verdict }
    }

    /// The same connection, for a request that is decided.
    pub(crate) fn with_verdict(&self, verdict: Verdict) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            onward: Arc::clone(&self.onward),
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
        let phase = if self.shared.life.left() { Phase::Over } else { Phase::On };
        self.shared.decider.verdict(facts, phase)
    }
}

/// Decides and answers. An error ends the stream or the connection: there is no answer of the application to give.
pub(crate) async fn answer(
    answerer: Arc<Answerer>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Unanswered> {
    let busy = answerer.track.begin();
    let stats = &answerer.shared.stats;
    let verdict = answerer.verdict(&request);
    if verdict != Verdict::Probe {
        stats.count_request(request.version());
    }
    let response = match verdict {
        Verdict::Probe => probed(&answerer, request).await,
        Verdict::Fault => {
            add_one(&stats.faulted);
            // A tunnel is never opened for a faulted request, so there is nothing to ask the application for.
            if answerer.shared.replacements.calls_application && request.method() != Method::CONNECT {
                Box::pin(forward::with_status_replaced(&answerer, request)).await
            } else {
                replaced(&answerer, request).await
            }
        }
        Verdict::Spare => {
            add_one(&stats.spared);
            Box::pin(forward::untouched(&answerer, request)).await?
        }
    };
    Ok(response.map(|body| body.holding(busy)))
}

/// The fault, without the application.
async fn replaced(answerer: &Answerer, request: Request<Incoming>) -> Response<AnswerBody> {
    let shared = &answerer.shared;
    let mut response = shared.replacements.response(request.method(), request.headers());
    let is_http1 = request.version() != Version::HTTP_2;
    // The client may take what follows for a tunnel.
    let is_tunnel = *request.method() == Method::CONNECT;
    let fate = dispose(request, shared, &answerer.track).await;
    if is_http1 && (is_tunnel || fate == Fate::Closes) {
        close(&mut response);
    }
    response
}

/// The fault as the driver's probe gets it: the application is left alone even where faults call it.
async fn probed(answerer: &Answerer, request: Request<Incoming>) -> Response<AnswerBody> {
    let mut response = replaced(answerer, request).await;
    if let Ok(token) = HeaderValue::from_str(answerer.shared.decider.probe_token()) {
        response.headers_mut().insert(PROBE, token);
    }
    response
}

fn close(response: &mut Response<AnswerBody>) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}
