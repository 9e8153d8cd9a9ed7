//! One request of a probe. Each has a connection of its own: what is asked is what a new client would see.

use std::{io, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    header,
};
use rustls::{
    DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::time::timeout;

use crate::{
    tunables::{Method, Probe},
    web::{self, Trust, WebClient, causes},
};

/// Most of a body that is looked at, bytes.
const BODY_BYTES: usize = 1024 * 1024;
/// Longest reason that a sample keeps, characters.
const REASON_CHARS: usize = 200;

/// Sends one probe's requests.
pub(super) struct Client {
    web: WebClient,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: Option<u16>,
    /// Why it is not what it has to be, where the status does not say it.
    pub(super) error: Option<String>,
    pub(super) held: bool,
}

impl Client {
    /// The roots of https:// are those that AWS is reached with.
    pub(super) fn new(probe: &Probe) -> io::Result<Self> {
        let trust = match (probe.url.is_https(), probe.skip_verify) {
            (true, true) => Trust::Verifier(Arc::new(NotVerified(ring::default_provider()))),
            (true, false) => Trust::Host,
            (false, _) => Trust::Nobody,
        };
        let web = web::client(trust, |pool| {
            pool.pool_max_idle_per_host(0);
        })?;
        Ok(Self { web })
    }

    /// Sends the request once and judges its answer.
    pub(super) async fn ask(&self, probe: &Probe) -> Answer {
        match timeout(probe.timeout, self.exchange(probe)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(reason)) => Answer { status: None, error: Some(short(&reason)), held: false },
            Err(_) => Answer { status: None, error: Some(too_late(probe.timeout)), held: false },
        }
    }

    async fn exchange(&self, probe: &Probe) -> Result<Answer, String> {
        let request = request(probe).map_err(|error| error.to_string())?;
        let response = self.web.request(request).await.map_err(|error| causes(&error))?;
        let status = response.status().as_u16();
        let error = match &probe.body {
            Some(wanted) => lacks(response, wanted).await,
            None => None,
        };
        Ok(Answer { status: Some(status), held: probe.status.holds(status) && error.is_none(), error })
    }
}

fn request(probe: &Probe) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut request = Request::builder()
        .method(probe.method.as_str())
        .uri(probe.url.uri.clone())
        .header(header::USER_AGENT, web::USER_AGENT)
        .header(header::CONNECTION, "close");
    if let Some(authorization) = &probe.url.authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    if probe.method == Method::Post
        && let Some(kind) = &probe.content_type
    {
        request = request.header(header::CONTENT_TYPE, kind);
    }
    let body = probe.request_body.clone().unwrap_or_default();
    let mut request = request.body(Full::new(Bytes::from(body)))?;
    for line in &probe.headers {
        request.headers_mut().insert(line.name.clone(), line.value.clone());
    }
    Ok(request)
}

/// What is wrong with the body, if anything is.
async fn lacks(response: Response<Incoming>, wanted: &str) -> Option<String> {
    match Limited::new(response.into_body(), BODY_BYTES).collect().await {
        Ok(body) => {
            let body = body.to_bytes();
            let found = String::from_utf8_lossy(&body).contains(wanted);
            (!found).then(|| "the body does not contain what PROBE_BODY asks for".to_owned())
        }
        Err(error) => Some(short(&format!("reading the body: {error}"))),
    }
}

fn too_late(limit: Duration) -> String {
    format!("no answer within {} ms", limit.as_millis())
}

fn short(reason: &str) -> String {
    reason.chars().take(REASON_CHARS).collect()
}

/// Takes any certificate, for PROBE_INSECURE_SKIP_VERIFY.
#[derive(Debug)]
struct NotVerified(CryptoProvider);

impl ServerCertVerifier for NotVerified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
