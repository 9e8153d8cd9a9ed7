//! A plain client of the JSON APIs: one signed request, one answer, no retries.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use httpfault_simulator::{Simulator, User};
use hyper::Request;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::runtime::Runtime;

pub(crate) struct Client {
    runtime: Runtime,
    http: Http<HttpConnector, Full<Bytes>>,
    endpoint: String,
    credentials: Credentials,
    timeout: Duration,
}

/// An error answer; the code is empty if there was none.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Client {
    pub(crate) fn new(simulator: &Simulator) -> Self {
        Client::of(simulator, &User::administrator())
    }

    pub(crate) fn of(simulator: &Simulator, user: &User) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let credentials = Credentials::new(&user.access_key_id, &user.secret_access_key, None, None, "test");
        let http = Http::builder(TokioExecutor::new()).build_http();
        Client {
            runtime,
            http,
            endpoint: simulator.endpoint(),
            credentials,
            timeout: Duration::from_secs(10),
        }
    }

    /// Gives up on an answer after this long.
    pub(crate) fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) fn ecs(&self, action: &str, request: Value) -> Result<Value, ApiError> {
        self.call("ecs", &format!("AmazonEC2ContainerServiceV20141113.{action}"), &request)
    }

    pub(crate) fn ssm(&self, action: &str, request: Value) -> Result<Value, ApiError> {
        self.call("ssm", &format!("AmazonSSM.{action}"), &request)
    }

    fn call(&self, service: &str, target: &str, request: &Value) -> Result<Value, ApiError> {
        let request = self.signed(service, target, request.to_string());
        self.runtime.block_on(async {
            let answer = async {
                let (head, body) = self.http.request(request).await.map_err(none)?.into_parts();
                let body = body.collect().await.map_err(none)?.to_bytes();
                let answer: Value = serde_json::from_slice(&body).map_err(none)?;
                if head.status.is_success() {
                    return Ok(answer);
                }
                let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
                Err(ApiError { code: text("__type"), message: text("message") })
            };
            tokio::time::timeout(self.timeout, answer).await.unwrap_or_else(|late| Err(none(late)))
        })
    }

    fn signed(&self, service: &str, target: &str, body: String) -> Request<Full<Bytes>> {
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("eu-central-1")
            .name(service)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .unwrap();
        let headers = [("x-amz-target", target), ("content-type", "application/x-amz-json-1.1")];
        let signable = SignableRequest::new(
            "POST",
            format!("{}/", self.endpoint),
            headers.into_iter(),
            SignableBody::Bytes(body.as_bytes()),
        )
        .unwrap();
        let (instructions, _) = sign(signable, &params.into()).unwrap().into_parts();
        let mut request =
            Request::post(format!("{}/", self.endpoint)).body(Full::from(body.clone())).unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        instructions.apply_to_request_http1x(&mut request);
        request
    }
}

/// No answer came.
fn none(problem: impl std::error::Error) -> ApiError {
    ApiError { code: String::new(), message: problem.to_string() }
}
