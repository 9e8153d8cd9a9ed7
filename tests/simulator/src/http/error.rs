//! Errors in AWS's words.

use hyper::StatusCode;

/// An error answer. The code is what SDKs map to an exception.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl ApiError {
    /// A client error: 400, as JSON 1.1 services use for all of them.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        ApiError { status: StatusCode::BAD_REQUEST, code, message: message.into() }
    }

    pub(crate) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        ApiError { status: StatusCode::FORBIDDEN, code, message: message.into() }
    }

    pub(crate) fn internal() -> Self {
        ApiError {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "InternalServerError",
            message: "An error occurred on the server side.".to_owned(),
        }
    }

    /// ECS's word for a request that is wrong.
    pub(crate) fn invalid_parameter(message: impl Into<String>) -> Self {
        ApiError::new("InvalidParameterException", message)
    }

    /// The front end's word for a member that breaks the API model, in its fixed wording.
    pub(crate) fn constraint(member: &str, value: &str, constraint: &str) -> Self {
        ApiError::new(
            "ValidationException",
            format!(
                "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"
            ),
        )
    }
}
