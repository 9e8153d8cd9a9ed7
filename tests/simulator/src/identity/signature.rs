//! Signature Version 4: the request is signed again with the secret that belongs to its access key, and the
//! two signatures must be equal. The signer is AWS's own (aws-sigv4).

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use hyper::{HeaderMap, Uri};
use thiserror::Error;

use super::Key;

/// How far a request's clock may be off, as for AWS.
const MAX_SKEW: Duration = Duration::from_secs(5 * 60);

/// What a request's Authorization header says.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(crate) access_key_id: String,
    pub(crate) region: String,
    pub(crate) service: String,
    signed_headers: Vec<String>,
    signature: String,
    date: SystemTime,
    /// For a presigned URL, how long it is valid.
    expires_in: Option<Duration>,
}

/// Why a signature is not accepted.
#[derive(Debug, Error)]
pub(crate) enum SignatureProblem {
    #[error("Missing Authentication Token")]
    Missing,
    #[error("Authorization header or X-Amz-Date is malformed: {0}")]
    Malformed(&'static str),
    #[error("Signature expired: X-Amz-Date is more than 5 minutes from the current time")]
    Skewed,
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method."
    )]
    Mismatch,
}

impl Signed {
    /// Takes the Authorization header apart.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, SignatureProblem> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let authorization = text("authorization").ok_or(SignatureProblem::Missing)?;
        let fields = authorization
            .strip_prefix("AWS4-HMAC-SHA256 ")
            .ok_or(SignatureProblem::Malformed("the algorithm is not AWS4-HMAC-SHA256"))?;
        let field = |name: &str| {
            let mut parts = fields.split(',').map(str::trim);
            parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        let credential = field("Credential").ok_or(SignatureProblem::Malformed("no Credential"))?;
        let scope: Vec<&str> = credential.split('/').collect();
        let [access_key_id, _day, region, service, "aws4_request"] = scope[..] else {
            return Err(SignatureProblem::Malformed("Credential has no five parts"));
        };
        let names = field("SignedHeaders").ok_or(SignatureProblem::Malformed("no SignedHeaders"))?;
        let date = text("x-amz-date").and_then(parse_date);
        Ok(Signed {
            access_key_id: access_key_id.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            signed_headers: names.split(';').map(str::to_owned).collect(),
            signature: field("Signature").ok_or(SignatureProblem::Malformed("no Signature"))?.to_owned(),
            date: date.ok_or(SignatureProblem::Malformed("no X-Amz-Date"))?,
            expires_in: None,
        })
    }

    /// Takes the query of a presigned URL apart; `None` if it is none.
    pub(crate) fn presigned(uri: &Uri) -> Option<Result<Self, SignatureProblem>> {
        let fields: BTreeMap<String, String> = serde_urlencoded::from_str(uri.query()?).ok()?;
        let signature = fields.get("X-Amz-Signature")?.clone();
        let read = || {
            let credential: Vec<&str> = fields.get("X-Amz-Credential")?.split('/').collect();
            let [access_key_id, _day, region, service, "aws4_request"] = credential[..] else { return None };
            Some(Signed {
                access_key_id: access_key_id.to_owned(),
                region: region.to_owned(),
                service: service.to_owned(),
                signed_headers: fields.get("X-Amz-SignedHeaders")?.split(';').map(str::to_owned).collect(),
                signature,
                date: parse_date(fields.get("X-Amz-Date")?)?,
                expires_in: Some(Duration::from_secs(fields.get("X-Amz-Expires")?.parse().ok()?)),
            })
        };
        Some(read().ok_or(SignatureProblem::Malformed("a parameter of the presigned URL is missing")))
    }

    /// The same as [`Self::verify`] for S3, which takes paths as they are and does not look at the body.
    pub(crate) fn verify_object(
        &self,
        key: &Key,
        method: &str,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), SignatureProblem> {
        let valid = self.expires_in.unwrap_or(MAX_SKEW);
        if SystemTime::now().duration_since(self.date).is_ok_and(|age| age > valid) {
            return Err(SignatureProblem::Skewed);
        }
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let mut path = uri.path().to_owned();
        if self.expires_in.is_some() {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = self.expires_in;
        } else if let Some(query) = uri.query() {
            path = format!("{path}?{query}");
        }
        match self.sign_with(settings, key, method, &path, headers, SignableBody::UnsignedPayload) {
            Some(expected) if expected == self.signature => Ok(()),
            _ => Err(SignatureProblem::Mismatch),
        }
    }

    /// Signs the request again and compares.
    pub(crate) fn verify(
        &self,
        key: &Key,
        method: &str,
        path_and_query: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(), SignatureProblem> {
        let now = SystemTime::now();
        let skew =
            now.duration_since(self.date).or_else(|_| self.date.duration_since(now)).unwrap_or_default();
        if skew > MAX_SKEW {
            return Err(SignatureProblem::Skewed);
        }
        for needed in ["host", "x-amz-date"] {
            if !self.signed_headers.iter().any(|name| name == needed) {
                return Err(SignatureProblem::Malformed("host and x-amz-date must be signed"));
            }
        }
        let expected = self.sign(key, method, path_and_query, headers, body);
        match expected {
            Some(expected) if expected == self.signature => Ok(()),
            _ => Err(SignatureProblem::Mismatch),
        }
    }

    fn sign(&self, key: &Key, method: &str, path: &str, headers: &HeaderMap, body: &[u8]) -> Option<String> {
        let mut settings = SigningSettings::default();
        settings.excluded_headers = None;
        self.sign_with(settings, key, method, path, headers, SignableBody::Bytes(body))
    }

    /// `None` if the signer can't take the request, which no client that signs can send.
    fn sign_with(
        &self,
        settings: SigningSettings,
        key: &Key,
        method: &str,
        path: &str,
        headers: &HeaderMap,
        body: SignableBody<'_>,
    ) -> Option<String> {
        let identity = Credentials::new(&key.id, &key.secret, key.token.clone(), None, "simulator").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(self.date)
            .settings(settings)
            .build()
            .ok()?;
        let host = headers.get("host")?.to_str().ok()?;
        let signed = self.signed_headers.iter().flat_map(|name| {
            headers.get_all(name).iter().filter_map(|value| Some((name.as_str(), value.to_str().ok()?)))
        });
        let uri = format!("http://{host}{path}");
        let request = SignableRequest::new(method, uri, signed, body).ok()?;
        let (_, signature) = sign(request, &params.into()).ok()?.into_parts();
        Some(signature)
    }
}

/// `20260131T235959Z`.
fn parse_date(text: &str) -> Option<SystemTime> {
    let civil = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().into())
}
