//! The address of an object in S3, plain and presigned. Only the signature is made here (aws-sigv4, which the SDK
//! carries anyway): aws-sdk-s3 would add more than a megabyte for one call that hosts make, not this program.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::{
    http_request::{
        PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};

use super::config::Cloud;
use crate::tunables::S3Uri;

/// How long a host may take from the plan's end to the download.
const VALID: Duration = Duration::from_secs(900);

/// Where an object is.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) plain: String,
    pub(crate) presigned: String,
    pub(crate) region: String,
}

impl Cloud {
    /// The object's URL, and one by which who has it can read the object for a quarter of an hour, as this program's
    /// own identity could.
    pub(super) async fn address(&self, object: &S3Uri) -> anyhow::Result<Address> {
        let (plain, presigned) = (self.object_url(object), self.presign("GET", object).await?);
        Ok(Address { plain, presigned, region: self.region.clone() })
    }

    /// A URL by which one call on the object is this program's own.
    pub(super) async fn presign(&self, method: &str, object: &S3Uri) -> anyhow::Result<String> {
        let plain = self.object_url(object);
        let keys = self.credentials.provide_credentials().await.context("getting credentials to presign")?;
        let identity = keys.into();
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(VALID);
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()?;
        let request =
            SignableRequest::new(method, plain.as_str(), std::iter::empty(), SignableBody::UnsignedPayload)
                .with_context(|| format!("presigning {plain}"))?;
        let params = params.into();
        let (signed, _) = sign(request, &params).context("presigning")?.into_parts();
        let query: Vec<String> =
            signed.params().iter().map(|(name, value)| format!("{name}={}", encode(value, ""))).collect();
        Ok(format!("{plain}?{}", query.join("&")))
    }

    /// By the bucket's own name where that fits a certificate, else as a path.
    fn object_url(&self, object: &S3Uri) -> String {
        let key = encode(&object.key, "/");
        if let Some(endpoint) = &self.s3_endpoint {
            return format!("{}/{}/{key}", endpoint.trim_end_matches('/'), object.bucket);
        }
        let suffix = if self.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        match object.bucket.contains('.') {
            true => format!("https://s3.{}.{suffix}/{}/{key}", self.region, object.bucket),
            false => format!("https://{}.s3.{}.{suffix}/{key}", object.bucket, self.region),
        }
    }
}

/// Everything but unreserved characters (RFC 3986) and `kept` as %XX, as signatures have it.
fn encode(text: &str, kept: &str) -> String {
    text.bytes().fold(String::new(), |mut text, byte| {
        match char::from(byte) {
            plain if plain.is_ascii_alphanumeric() || "-._~".contains(plain) || kept.contains(plain) => {
                text.push(plain);
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
        text
    })
}
