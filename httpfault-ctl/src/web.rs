//! HTTP to what is not AWS: a probe's application, Kubernetes, a collector of spans.

use std::{error::Error, io, sync::Arc};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Builder, Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, client::danger::ServerCertVerifier, crypto::ring};

pub(crate) type WebClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

pub(crate) const USER_AGENT: &str = concat!("httpfault-ctl/", env!("CARGO_PKG_VERSION"));

/// Whose certificates are taken.
pub(crate) enum Trust {
    /// None will be looked at: no TLS is spoken.
    Nobody,
    /// The roots that AWS is reached with.
    Host,
    Roots(RootCertStore),
    Verifier(Arc<dyn ServerCertVerifier>),
}

/// A client; `prepare` sets what differs from the defaults of its pool.
pub(crate) fn client(trust: Trust, prepare: impl FnOnce(&mut Builder)) -> io::Result<WebClient> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let config = match trust {
        Trust::Nobody => config.with_root_certificates(RootCertStore::empty()),
        Trust::Host => config.with_native_roots()?,
        Trust::Roots(roots) => config.with_root_certificates(roots),
        Trust::Verifier(verifier) => config.dangerous().with_custom_certificate_verifier(verifier),
    };
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(config.with_no_client_auth())
        .https_or_http()
        .enable_http1()
        .build();
    let mut builder = Client::builder(TokioExecutor::new());
    prepare(&mut builder);
    Ok(builder.build(connector))
}

/// An error with its causes; the client's own text says only that it failed. None of them repeats the URL.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if texts.last().is_none_or(|last| *last != text) {
            texts.push(text);
        }
        source = cause.source();
    }
    texts.join(": ")
}
