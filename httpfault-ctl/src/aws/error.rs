//! What a call can fail with, in the words of the person who has to act on it.

use std::future::Future;

use aws_runtime::retries::classifiers::THROTTLING_ERRORS;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::{display::DisplayErrorContext, metadata::ProvideErrorMetadata};

use super::{config::Cloud, policy};

/// A call to AWS that failed, after all its retries.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("getting AWS credentials from {way} failed: {detail}")]
    Credentials { way: String, detail: String },
    #[error(
        "AWS denied {action}: {message}\nthis statement is missing in the IAM policy of the caller:\n{statement}"
    )]
    Denied { action: &'static str, message: String, statement: String },
    #[error("AWS no longer accepts the credentials from {way} ({action}: {code}): renew them")]
    Expired { action: &'static str, code: String, way: String },
    #[error("AWS throttled {action} for several minutes ({code}): other programs use up the account's rate")]
    Throttled { action: &'static str, code: String },
    #[error("{action} failed: {code}: {message}")]
    Service {
        action: &'static str,
        code: String,
        message: String,
        /// Of HTTP.
        status: u16,
    },
    #[error(
        "{action} got no usable answer: {detail}; check REGION, the network, HTTPS_PROXY and AWS_ENDPOINT_URL"
    )]
    Unreachable { action: &'static str, detail: String },
}

/// Codes by which services refuse for lack of a right.
const DENIED: [&str; 4] =
    ["AccessDeniedException", "AccessDenied", "UnauthorizedOperation", "UnauthorizedException"];
/// Codes by which services refuse credentials.
const EXPIRED: [&str; 8] = [
    "ExpiredTokenException",
    "ExpiredToken",
    "RequestExpired",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
];

impl ApiError {
    /// Whether the call may have been carried out although it failed: the answer was lost or is a server's error.
    pub(crate) fn maybe_carried_out(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Service { status, .. } => *status >= 500,
            Self::Credentials { .. }
            | Self::Denied { .. }
            | Self::Expired { .. }
            | Self::Throttled { .. } => false,
        }
    }

    /// Whether the same call may succeed later: it was throttled, or its answer was lost.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Throttled { .. }) || self.maybe_carried_out()
    }

    /// What the service said when it refused a call for all hosts because some are not there.
    pub(super) fn invalid_instances(&self) -> Option<&str> {
        match self {
            Self::Service { code, message, .. } => (code == "InvalidInstanceId").then_some(message),
            Self::Credentials { .. }
            | Self::Denied { .. }
            | Self::Expired { .. }
            | Self::Throttled { .. }
            | Self::Unreachable { .. } => None,
        }
    }
}

impl Cloud {
    /// Makes one call; `action` is the IAM name of what it does.
    pub(super) async fn call<T, E>(
        &self,
        action: &'static str,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, ApiError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        // The futures of the SDK are several kilobytes; boxed, they don't add up on the stack.
        Box::pin(call).await.map_err(|error| self.explain(action, &error))
    }

    fn explain<E>(&self, action: &'static str, error: &SdkError<E, HttpResponse>) -> ApiError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let service_error = matches!(error, SdkError::ServiceError(_));
        let status = error.raw_response().map_or(0, |response| response.status().as_u16());
        let meta = error.meta();
        let code = meta.code().unwrap_or("Unknown").to_owned();
        let message = meta.message().unwrap_or("no message").to_owned();
        // Whatever a server says while it fails, the call may have been carried out.
        if service_error && status >= 500 {
            return ApiError::Service { action, code, message, status };
        }
        if service_error && (THROTTLING_ERRORS.contains(&code.as_str()) || status == 429) {
            return ApiError::Throttled { action, code };
        }
        if service_error && DENIED.contains(&code.as_str()) {
            let statement = policy::statement_for(action, self.cluster.as_deref(), self.document.as_deref());
            return ApiError::Denied { action, message, statement };
        }
        if service_error && EXPIRED.contains(&code.as_str()) {
            return ApiError::Expired { action, code, way: self.way.clone() };
        }
        let detail = first_causes(&DisplayErrorContext(error).to_string());
        if let SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_) = error
            && detail.to_lowercase().contains("credentials")
        {
            return ApiError::Credentials { way: self.way.clone(), detail };
        }
        if service_error {
            return ApiError::Service { action, code, message, status };
        }
        ApiError::Unreachable { action, detail }
    }
}

/// The chain of causes without the debug output that follows it.
fn first_causes(text: &str) -> String {
    text.split(" (").next().unwrap_or(text).to_owned()
}
