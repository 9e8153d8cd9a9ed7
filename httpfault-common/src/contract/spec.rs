//! What a run is asked to do.

use std::{fmt, str::FromStr};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use super::GrpcError;

/// Limits of the input, each with its reason.
pub mod limit {
    /// Shortest duration, seconds.
    pub const MIN_DURATION_SECS: u64 = 1;
    /// Longest duration, seconds: AWS-RunShellScript's executionTimeout ends at 172,800 s and a run needs some of it.
    pub const MAX_DURATION_SECS: u64 = 86_400;
    /// Body of an injected response, bytes. A spec travels in one SSM document of 64 KB.
    pub const MAX_BODY_BYTES: usize = 16 * 1024;
    /// Added response headers, name and value, bytes in all.
    pub const MAX_HEADER_BYTES: usize = 8 * 1024;
    /// GRPC_MESSAGE, bytes: clients limit what all headers of an answer take.
    pub const MAX_GRPC_MESSAGE_BYTES: usize = 1024;
    /// Targets of one agent process.
    pub const MAX_TARGETS: usize = 100;
    /// Encoded `--spec` argument, bytes (Linux allows 128 KiB for one argument).
    pub const MAX_SPEC_BYTES: usize = 96 * 1024;
}

/// One agent run: which targets, which fault, how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    pub experiment_id: ExperimentId,
    pub targets: Vec<TargetSelector>,
    /// TARGET_SERVICE_PORT.
    pub port: u16,
    /// PROXY_PORT.
    pub proxy_port: u16,
    /// NETWORK_INTERFACE: `auto` or a name.
    pub interface: String,
    pub duration_secs: u64,
    pub existing_connections: ExistingConnections,
    /// RESET_AT_ONCE, with `reset` only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reset_at_once: bool,
    pub fault: Fault,
}

/// A switch that older agents don't know is not sent where it is off.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(switch: &bool) -> bool {
    !switch
}

/// How a target is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TargetSelector {
    /// An ECS task, by its id or its ARN; `container` picks one where several could be meant.
    Task {
        id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        container: Option<String>,
    },
    /// A Docker container, by id, id prefix or name.
    Container { id: String },
    /// A process; its cgroup and network namespace are the target's.
    Pid { pid: u32 },
}

impl fmt::Display for TargetSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task { id, container: Some(container) } => write!(f, "task {id} container {container}"),
            Self::Task { id, container: None } => write!(f, "task {id}"),
            Self::Container { id } => write!(f, "container {id}"),
            Self::Pid { pid } => write!(f, "process {pid}"),
        }
    }
}

/// What becomes of connections that clients hold when the fault starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExistingConnections {
    /// `take` where nothing was seen to be lost by it, `drain` elsewhere.
    #[default]
    Auto,
    /// HTTP/1 requests on them are answered in place, and each one is given back to the application at the end.
    Take,
    /// Ended in order between two requests; what is not HTTP is left alone.
    Drain,
    /// Left alone and counted.
    Keep,
    /// Reset at their next request, or at once.
    Reset,
}

/// How a request is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Final status, 200 to 599.
    pub status: u16,
    /// The application is not called and this is the answer; `None` is MODIFY_RESPONSE_BODY=false: the application
    /// is called and its status replaced.
    pub replacement: Option<Replacement>,
    /// RESPONSE_HEADERS: set on every injected response, replacing headers of the same name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderLine>,
    /// Whether injected responses carry `x-httpfault: <experiment id>`.
    pub marker: bool,
    /// Share of the selected requests that is faulted, 0 to 100, decided for each request.
    pub percent: f64,
    /// Seed of that decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    #[serde(default, skip_serializing_if = "Selection::is_everything")]
    pub selection: Selection,
    #[serde(default, skip_serializing_if = "GrpcError::is_default")]
    pub grpc: GrpcError,
}

/// The body of an injected response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    /// RESPONSE_BODY; `None` is the chaos string for the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// CONTENT_TYPE; `None` is text/plain, or JSON where the client's Accept prefers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

/// Which requests can be faulted. Lists of one kind are alternatives, kinds are combined: a request is selected when
/// it matches some path, some method and every header; an exclusion wins over all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Path prefixes, as typed: `/api` also matches `/apiary`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderLine>,
    /// Path prefixes that are spared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_paths: Vec<String>,
    /// Substrings of User-Agent, case-insensitive, that are spared: `ELB-HealthChecker`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_user_agents: Vec<String>,
}

impl Selection {
    /// Whether no request is left out.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

/// A header field, typed as `Name: value`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HeaderLine {
    pub name: http::HeaderName,
    pub value: http::HeaderValue,
}

impl FromStr for HeaderLine {
    type Err = SpecError;

    fn from_str(line: &str) -> Result<Self, SpecError> {
        let wrong = || SpecError::Header { line: line.to_owned() };
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        Ok(Self {
            name: name.trim().parse().map_err(|_invalid: http::header::InvalidHeaderName| wrong())?,
            value: value.trim().parse().map_err(|_invalid: http::header::InvalidHeaderValue| wrong())?,
        })
    }
}

impl TryFrom<String> for HeaderLine {
    type Error = SpecError;

    fn try_from(line: String) -> Result<Self, SpecError> {
        line.parse()
    }
}

impl From<HeaderLine> for String {
    fn from(line: HeaderLine) -> Self {
        line.to_string()
    }
}

impl fmt::Display for HeaderLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, String::from_utf8_lossy(self.value.as_bytes()))
    }
}

/// Names a run on the host, in reports, in the marker header and in `/run/httpfault/`: so it is safe as a file name
/// and as a header value by construction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExperimentId(String);

impl ExperimentId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ExperimentId {
    type Err = SpecError;

    fn from_str(id: &str) -> Result<Self, SpecError> {
        let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let starts_well = id.starts_with(|c: char| c.is_ascii_alphanumeric());
        if starts_well && id.len() <= 64 && id.chars().all(usual) {
            Ok(Self(id.to_owned()))
        } else {
            Err(SpecError::ExperimentId { id: id.to_owned() })
        }
    }
}

impl TryFrom<String> for ExperimentId {
    type Error = SpecError;

    fn try_from(id: String) -> Result<Self, SpecError> {
        id.parse()
    }
}

impl From<ExperimentId> for String {
    fn from(id: ExperimentId) -> Self {
        id.0
    }
}

impl fmt::Display for ExperimentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a piece of a spec could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    #[error(
        "experiment id {id:?}: 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"
    )]
    ExperimentId { id: String },
    #[error("header {line:?}: must read 'Name: value' (RFC 9110 section 5)")]
    Header { line: String },
    #[error("spec is {bytes} bytes long, at most {} are allowed", limit::MAX_SPEC_BYTES)]
    TooLong { bytes: usize },
    #[error("spec is not base64")]
    Base64(#[from] base64::DecodeError),
    #[error("spec is not the JSON that this version of httpfault-agent takes")]
    Json(#[from] serde_json::Error),
}

// === impl RunSpec ===

impl RunSpec {
    /// The `--spec` argument: standard base64 (RFC 4648 section 4) of JSON, safe in any shell and in SSM documents.
    pub fn encode(&self) -> Result<String, SpecError> {
        let text = BASE64_STANDARD.encode(serde_json::to_vec(self)?);
        if text.len() > limit::MAX_SPEC_BYTES {
            return Err(SpecError::TooLong { bytes: text.len() });
        }
        Ok(text)
    }

    pub fn decode(text: &str) -> Result<Self, SpecError> {
        if text.len() > limit::MAX_SPEC_BYTES {
            return Err(SpecError::TooLong { bytes: text.len() });
        }
        Ok(serde_json::from_slice(&BASE64_STANDARD.decode(text.trim())?)?)
    }
}
