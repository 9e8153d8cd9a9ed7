//! How gRPC calls fail.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What a failed gRPC call says, whatever the HTTP status of the fault is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpcError {
    /// GRPC_STATUS; `None` is what gRPC clients make of the HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<GrpcStatus>,
    /// GRPC_MESSAGE; `None` is the chaos string for the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl GrpcError {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The status of a failed call, 1 to 16: a call whose status is OK would not be faulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct GrpcStatus(u8);

/// Names of the statuses (<https://grpc.github.io/grpc/core/md_doc_statuscodes.html>), the first of which is 1.
const NAMES: [&str; 16] = [
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Neither a number from 1 to 16 nor the name of such a status.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the status of a failed gRPC call: 1 to 16, or its name such as UNAVAILABLE")]
pub struct NoGrpcStatus;

impl TryFrom<u8> for GrpcStatus {
    type Error = NoGrpcStatus;

    fn try_from(number: u8) -> Result<Self, NoGrpcStatus> {
        if (1..=16).contains(&number) { Ok(Self(number)) } else { Err(NoGrpcStatus) }
    }
}

impl From<GrpcStatus> for u8 {
    fn from(status: GrpcStatus) -> Self {
        status.0
    }
}

impl FromStr for GrpcStatus {
    type Err = NoGrpcStatus;

    fn from_str(text: &str) -> Result<Self, NoGrpcStatus> {
        if let Ok(number) = text.parse::<u8>() {
            return number.try_into();
        }
        let named = (1..=16).zip(NAMES).find(|(_, name)| text.eq_ignore_ascii_case(name));
        named.map(|(number, _)| Self(number)).ok_or(NoGrpcStatus)
    }
}

impl fmt::Display for GrpcStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names() {
        assert_eq!("14".parse(), Ok(GrpcStatus(14)));
        assert_eq!("unavailable".parse(), Ok(GrpcStatus(14)));
        assert_eq!("CANCELLED".parse(), Ok(GrpcStatus(1)));
        assert_eq!("UNAUTHENTICATED".parse(), Ok(GrpcStatus(16)));
        for wrong in ["0", "OK", "17", "", "-1", "NOT FOUND"] {
            assert_eq!(wrong.parse::<GrpcStatus>(), Err(NoGrpcStatus), "{wrong:?}");
        }
    }
}
