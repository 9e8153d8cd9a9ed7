//! Puts the report into S3. Three small objects need no SDK of a megabyte: the requests are presigned like those of hosts.

use std::time::Duration;

use anyhow::{Context, bail};
use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{self, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::{client::http::HttpConnector, http::Request};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use backon::{ExponentialBuilder, Retryable};
use tokio::time::timeout;

use super::config::Cloud;
use crate::{report::files::ReportFile, tunables::S3Uri};

/// One attempt. A report must not keep a pod from its end for long.
const ATTEMPT: Duration = Duration::from_secs(15);
/// Attempts after the first.
const AGAIN: usize = 2;

impl Cloud {
    /// Puts all files under `name` below the prefix. The result is where they are.
    pub(crate) async fn put_all(
        &self,
        prefix: &S3Uri,
        name: &str,
        files: &[ReportFile],
    ) -> anyhow::Result<String> {
        let directory = format!("{}/{name}", prefix.key.trim_end_matches('/'));
        for file in files {
            let object = S3Uri { bucket: prefix.bucket.clone(), key: format!("{directory}/{}", file.name) };
            let backoff = ExponentialBuilder::default().with_max_times(AGAIN);
            let put = (|| self.put(&object, file)).retry(backoff).when(|error| !error.is::<Refused>());
            put.await.with_context(|| format!("putting {object}"))?;
        }
        Ok(format!("s3://{}/{directory}/", prefix.bucket))
    }

    async fn put(&self, object: &S3Uri, file: &ReportFile) -> anyhow::Result<()> {
        let url = self.presign("PUT", object).await?;
        let mut request = Request::new(SdkBody::from(file.text.as_str()));
        request.set_method("PUT").context("making the request")?;
        request.set_uri(url).context("making the request")?;
        request.headers_mut().insert("content-type", file.content_type);
        let proxy = ProxyConfig::from_env();
        let connector = Connector::builder()
            .proxy_config(proxy)
            .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
            .build();
        let answer =
            timeout(ATTEMPT, connector.call(request)).await.context("S3 did not answer in 15 s")??;
        let status = answer.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(());
        }
        let said = ByteStream::new(answer.into_body()).collect().await.context("reading S3's answer")?;
        let said = String::from_utf8_lossy(&said.to_vec()).into_owned();
        match status {
            400..500 => Err(Refused { status, said }.into()),
            _ => bail!("S3 answered {status}: {said}"),
        }
    }
}

/// The same again would be refused again.
#[derive(Debug, thiserror::Error)]
#[error("S3 answered {status}, the caller needs s3:PutObject there: {said}")]
struct Refused {
    status: u16,
    said: String,
}
