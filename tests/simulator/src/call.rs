//! What was asked of the simulator.

use std::time::Instant;

use jiff::Timestamp;
use serde_json::Value;

/// One request to an API, in the order of arrival.
#[derive(Clone, Debug)]
pub struct Call {
    /// `ecs`, `ssm`, `sts`, `cloudwatch`, `ecr` or `s3`.
    pub service: &'static str,
    /// Such as `SendCommand`.
    pub action: String,
    /// ARN of the caller; absent if the request was not signed by a known key.
    pub principal: Option<String>,
    /// When it arrived.
    pub at: Instant,
    /// The same by the clock.
    pub time: Timestamp,
    /// The request's members. Those of STS are all strings.
    pub request: Value,
    /// `User-Agent`.
    pub user_agent: String,
    /// How it was answered; absent while it is being worked on.
    pub outcome: Option<Outcome>,
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 200.
    Success,
    /// An error, with AWS's code for it.
    Error {
        /// HTTP status.
        status: u16,
        /// Such as `ThrottlingException`.
        code: String,
    },
    /// The connection was closed without an answer (a fault asked for it).
    Dropped,
}

impl Call {
    /// `service:Action`, as IAM writes it.
    pub fn iam_action(&self) -> String {
        format!("{}:{}", self.service, self.action)
    }

    /// The code of the error that it was answered with.
    pub fn error_code(&self) -> Option<&str> {
        match &self.outcome {
            Some(Outcome::Error { code, .. }) => Some(code),
            Some(Outcome::Success | Outcome::Dropped) | None => None,
        }
    }
}
