//! The one place that builds SDK clients.

use std::{sync::Arc, time::Duration};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, provider_config::ProviderConfig, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{self, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::{credentials, error::ApiError, one_by_one::Done, rights::Rights};
use crate::tunables::Access;

/// A call that is throttled is tried this often; the adaptive mode also slows all calls down.
const ATTEMPTS: u32 = 12;
/// Longest pause between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(20);
/// One attempt, connecting included.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);
/// A call with all its attempts.
const CALL_TIMEOUT: Duration = Duration::from_secs(240);

/// AWS, as far as httpfault needs it.
#[derive(Clone, Debug)]
pub(crate) struct Cloud {
    pub(super) cloudwatch: aws_sdk_cloudwatch::Client,
    pub(super) ecs: aws_sdk_ecs::Client,
    pub(super) ssm: aws_sdk_ssm::Client,
    pub(super) poll: Duration,
    pub(super) answer_within: Duration,
    /// Names the way of authentication, for messages.
    pub(super) way: String,
    pub(super) cluster: Option<String>,
    /// In place of AWS-RunShellScript.
    pub(super) document: Option<String>,
    pub(super) region: String,
    pub(super) credentials: SharedCredentialsProvider,
    /// In place of AWS's own, for S3.
    pub(super) s3_endpoint: Option<String>,
    pub(super) rights: Arc<Rights>,
    pub(super) done: Arc<Done>,
}

impl Cloud {
    /// Builds the clients and gets credentials once, so that wrong ones are reported as such and not as the failure
    /// of some call.
    pub(crate) async fn connect(access: &Access) -> Result<Self, ApiError> {
        let http = http_client();
        let region = Region::new(access.region.clone());
        let base =
            ProviderConfig::without_region().with_http_client(http.clone()).with_region(Some(region.clone()));
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .region(region)
            .retry_config(RetryConfig::adaptive().with_max_attempts(ATTEMPTS).with_max_backoff(MAX_BACKOFF))
            .timeout_config(
                TimeoutConfig::builder()
                    .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                    .operation_timeout(CALL_TIMEOUT)
                    .build(),
            );
        let (config, way) = credentials::load(loader, base, &access.credentials).await?;
        Self::of(&config, way, access)
    }

    fn of(config: &SdkConfig, way: String, access: &Access) -> Result<Self, ApiError> {
        let none = || "the SDK found no provider".to_owned();
        let credentials = config
            .credentials_provider()
            .ok_or_else(|| ApiError::Credentials { way: way.clone(), detail: none() })?;
        Ok(Self {
            cloudwatch: aws_sdk_cloudwatch::Client::new(config),
            ecs: aws_sdk_ecs::Client::new(config),
            ssm: aws_sdk_ssm::Client::new(config),
            poll: access.poll,
            answer_within: access.answer_within,
            way,
            cluster: access.cluster.clone(),
            document: access.document.clone(),
            region: access.region.clone(),
            credentials,
            s3_endpoint: std::env::var("AWS_ENDPOINT_URL_S3")
                .ok()
                .or_else(|| config.endpoint_url().map(str::to_owned)),
            rights: Arc::default(),
            done: Arc::default(),
        })
    }

    /// Time between two looks at a command.
    pub(crate) fn poll(&self) -> Duration {
        self.poll
    }

    /// How long a host may take to answer.
    pub(crate) fn answer_within(&self) -> Duration {
        self.answer_within
    }
}

/// HTTPS with ring, through HTTPS_PROXY (HTTP_PROXY, ALL_PROXY) but for what NO_PROXY names. A client that is built
/// the short way takes no notice of them.
fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.tls_provider(tls::Provider::Rustls(CryptoMode::Ring)).build()
    })
}
