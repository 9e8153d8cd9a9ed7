//! The Kubernetes API as a pod reaches it: the address from its variables, the token and the authority from its files. Three
//! verbs on single objects, so that a client of its own is small.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, body::Bytes, header};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde_json::Value;
use tokio::time::timeout;

use crate::web::{self, Trust, WebClient, causes};

/// One call. An abort has 30 s for everything.
const CALL: Duration = Duration::from_secs(5);
/// Largest object that is read, bytes; etcd keeps none over 1.5 MB.
const OBJECT_BYTES: usize = 4 * 1024 * 1024;

/// A connection to the API server, with this pod's rights.
pub(super) struct Kubernetes {
    server: String,
    token: PathBuf,
    client: WebClient,
}

/// Why Litmus' objects can't be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KubernetesError {
    #[error(
        "Litmus started this (CHAOSENGINE is set), but the pod can't reach Kubernetes: {0}; give it a service account whose \
         token is mounted, as in deploy/litmus, or set LITMUS_RESULT=false"
    )]
    NoAccess(String),
    #[error("{what}: {why}")]
    NoAnswer { what: String, why: String },
    #[error("{what}: Kubernetes answered {code}: {message}{}", next(*.code))]
    Refused { what: String, code: u16, message: String },
}

fn next(code: u16) -> &'static str {
    match code {
        401 | 403 => "; the service account needs the rights in deploy/litmus/rbac.yaml",
        _ => "",
    }
}

impl KubernetesError {
    /// Whether the same call may go well in a moment.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::NoAccess(_) => false,
            Self::NoAnswer { .. } => true,
            Self::Refused { code, .. } => matches!(code, 409 | 429 | 500..),
        }
    }
}

impl Kubernetes {
    pub(super) fn of_the_pod(directory: &Path) -> Result<Self, KubernetesError> {
        let no = |why: String| KubernetesError::NoAccess(why);
        let variable = |name: &str| {
            std::env::var(name)
                .ok()
                .filter(|text| !text.is_empty())
                .ok_or_else(|| no(format!("{name} is not set")))
        };
        let host = variable("KUBERNETES_SERVICE_HOST")?;
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let port = variable("KUBERNETES_SERVICE_PORT")?;
        let authority = directory.join("ca.crt");
        let unreadable = |error: &dyn fmt::Display| no(format!("reading {}: {error}", authority.display()));
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&authority).map_err(|error| unreadable(&error))? {
            let certificate = certificate.map_err(|error| unreadable(&error))?;
            roots.add(certificate).map_err(|error| unreadable(&error))?;
        }
        let client = web::client(Trust::Roots(roots), |_| {}).map_err(|error| unreadable(&error))?;
        Ok(Self { server: format!("https://{host}:{port}"), token: directory.join("token"), client })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, KubernetesError> {
        self.call(Method::GET, path, None).await
    }

    pub(super) async fn create(&self, path: &str, object: &Value) -> Result<(), KubernetesError> {
        self.call(Method::POST, path, Some(object)).await.map(drop)
    }

    pub(super) async fn replace(&self, path: &str, object: &Value) -> Result<(), KubernetesError> {
        self.call(Method::PUT, path, Some(object)).await.map(drop)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        object: Option<&Value>,
    ) -> Result<Value, KubernetesError> {
        let verb = match method {
            Method::GET => "reading",
            Method::POST => "creating in",
            _ => "writing",
        };
        let what = format!("{verb} {path}");
        let failed = |why: String| KubernetesError::NoAnswer { what: what.clone(), why };
        // Kubernetes renews it while the pod runs.
        let token = std::fs::read_to_string(&self.token).map_err(|error| {
            KubernetesError::NoAccess(format!("reading {}: {error}", self.token.display()))
        })?;
        let body = object.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
            .header(header::AUTHORIZATION, format!("Bearer {}", token.trim()))
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, web::USER_AGENT)
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| failed(error.to_string()))?;
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|error| causes(&error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), OBJECT_BYTES).collect().await;
            Ok::<_, String>((status, body.map_err(|error| error.to_string())?.to_bytes()))
        };
        let (status, body) = match timeout(CALL, exchange).await {
            Ok(answer) => answer.map_err(&failed)?,
            Err(_) => return Err(failed(format!("no answer within {} s", CALL.as_secs()))),
        };
        let object: Value = serde_json::from_slice(&body).unwrap_or_default();
        if !status.is_success() {
            let message = object["message"].as_str().unwrap_or("no reason given").to_owned();
            return Err(KubernetesError::Refused { what, code: status.as_u16(), message });
        }
        Ok(object)
    }
}

impl fmt::Debug for Kubernetes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Kubernetes").field("server", &self.server).finish_non_exhaustive()
    }
}
