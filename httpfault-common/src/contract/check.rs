//! What a spec must satisfy before anything is done with it. All mistakes are found, not the first.

use std::fmt;

use super::spec::{ExistingConnections, RunSpec, Selection, limit};

/// One input mistake: what was given, what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The flag's name without dashes (`status-code`); the controller maps it to the variable (`STATUS_CODE`).
    pub field: &'static str,
    pub value: String,
    pub allowed: String,
}

impl Mistake {
    pub fn new(field: &'static str, value: impl fmt::Display, allowed: impl Into<String>) -> Self {
        Self { field, value: value.to_string(), allowed: allowed.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{} {:?}: {}", self.field, self.value, self.allowed)
    }
}

/// Every mistake of one input.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} input mistake(s):", self.0.len())?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl RunSpec {
    /// Checks everything that can be checked without looking at a host.
    pub fn check(&self) -> Result<(), Mistakes> {
        let mut found = Vec::new();
        let mut expect = |holds: bool, field, value: &dyn fmt::Display, allowed: &str| {
            if !holds {
                found.push(Mistake::new(field, value, allowed));
            }
        };
        let fault = &self.fault;

        let targets = self.targets.len();
        expect(
            (1..=limit::MAX_TARGETS).contains(&targets),
            "task-id",
            &targets,
            "between 1 and 100 targets in one run",
        );
        expect(
            (200..=599).contains(&fault.status),
            "status-code",
            &fault.status,
            "a final status, 200 to 599",
        );
        expect(self.port != 0, "port", &self.port, "1 to 65535");
        expect(self.proxy_port != 0, "proxy-port", &self.proxy_port, "1 to 65535");
        expect(
            self.port != self.proxy_port,
            "proxy-port",
            &self.proxy_port,
            "another port than the target's",
        );
        let interface_fits = (1..=15).contains(&self.interface.len())
            && !self.interface.contains(|c: char| c.is_whitespace() || c == '/' || c.is_control());
        expect(
            interface_fits,
            "interface",
            &self.interface,
            "'auto' or an interface name of at most 15 bytes",
        );
        let durations = limit::MIN_DURATION_SECS..=limit::MAX_DURATION_SECS;
        expect(
            durations.contains(&self.duration_secs),
            "duration",
            &self.duration_secs,
            "1 to 86400 seconds",
        );
        let resets = self.existing_connections == ExistingConnections::Reset;
        expect(
            resets || !self.reset_at_once,
            "reset-at-once",
            &self.reset_at_once,
            "true only with existing connections 'reset'",
        );
        let percent_fits = (0.0..=100.0).contains(&fault.percent);
        expect(percent_fits, "percent", &fault.percent, "0 to 100");

        if let Some(replacement) = &fault.replacement {
            let bytes = replacement.body.as_ref().map_or(0, String::len);
            expect(
                bytes <= limit::MAX_BODY_BYTES,
                "response-body",
                &format!("{bytes} bytes"),
                "at most 16384 bytes",
            );
            if let Some(kind) = &replacement.content_type {
                let fits = kind.contains('/') && http::HeaderValue::from_str(kind).is_ok();
                expect(fits, "content-type", kind, "a media type such as application/json");
            }
        }
        let header_bytes: usize = fault.headers.iter().map(|h| h.name.as_str().len() + h.value.len()).sum();
        let header_limit = "at most 8192 bytes of names and values in all";
        expect(
            header_bytes <= limit::MAX_HEADER_BYTES,
            "response-header",
            &format!("{header_bytes} bytes"),
            header_limit,
        );
        for header in &fault.headers {
            let framing = FRAMING.contains(&header.name.as_str());
            expect(!framing, "response-header", header, "any header but those that frame the message");
        }
        let message_bytes = fault.grpc.message.as_ref().map_or(0, String::len);
        let message_fits = message_bytes <= limit::MAX_GRPC_MESSAGE_BYTES;
        expect(message_fits, "grpc-message", &format!("{message_bytes} bytes"), "at most 1024 bytes");
        check_selection(&fault.selection, &mut expect);

        if found.is_empty() { Ok(()) } else { Err(Mistakes(found)) }
    }
}

/// Headers that the responder sets itself, because a wrong one makes the client misread the connection
/// (RFC 9110 section 7.6.1, RFC 9112 section 6).
const FRAMING: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-connection",
];

fn check_selection(
    selection: &Selection,
    expect: &mut impl FnMut(bool, &'static str, &dyn fmt::Display, &str),
) {
    for (field, paths) in [("path", &selection.paths), ("exclude-path", &selection.exclude_paths)] {
        for path in paths {
            expect(path.starts_with('/'), field, path, "a path prefix that begins with '/'");
        }
    }
    for method in &selection.methods {
        expect(
            http::Method::from_bytes(method.as_bytes()).is_ok(),
            "method",
            method,
            "an HTTP method such as GET",
        );
    }
    for agent in &selection.exclude_user_agents {
        expect(!agent.is_empty(), "exclude-user-agent", agent, "a part of a User-Agent value, not empty");
    }
}
