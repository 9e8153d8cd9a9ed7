//! Where a run's spans go, in the variables of OpenTelemetry.

use hyper::Uri;
use serde_json::Value;

use super::{raw::Raw, table as t};

/// Where spans are sent, and whose children they are.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    pub(crate) endpoint: Uri,
    pub(crate) parent: Option<Parent>,
}

/// A span of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) trace: [u8; 16],
    pub(crate) span: [u8; 8],
}

pub(super) fn read_trace(raw: &mut Raw) -> Option<Trace> {
    let parent = raw.text(&t::TRACE_PARENT).map(str::to_owned).and_then(|text| {
        let parent = parent(&text);
        if parent.is_none() && text.trim() != "{}" {
            raw.warnings.push("TRACE_PARENT is no traceparent of W3C and is ignored".to_owned());
        }
        parent
    });
    let text = raw.text(&t::OTEL_EXPORTER_OTLP_ENDPOINT)?.to_owned();
    // Litmus gives host and port alone.
    let base = if text.contains("://") { text.clone() } else { format!("http://{text}") };
    let endpoint = format!("{}/v1/traces", base.trim_end_matches('/')).parse::<Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    if endpoint.is_none() {
        raw.wrong(&t::OTEL_EXPORTER_OTLP_ENDPOINT, &text, "http://host:4318 or https://host");
    }
    Some(Trace { endpoint: endpoint?, parent })
}

/// `00-<trace>-<span>-<flags>`, also inside the JSON object in which Litmus gives it.
fn parent(text: &str) -> Option<Parent> {
    let object: Option<Value> = serde_json::from_str(text).ok();
    let text = object.as_ref().and_then(|object| object["traceparent"].as_str()).unwrap_or(text);
    let parts: Vec<&str> = text.trim().split('-').collect();
    let [_version, trace, span, _flags] = parts.as_slice() else { return None };
    let id = |id: &str, length: usize| {
        let is_hex = id.len() == length && id.bytes().all(|c| c.is_ascii_hexdigit());
        is_hex.then(|| u128::from_str_radix(id, 16).ok()).flatten().filter(|id| *id != 0)
    };
    let (trace, span) = (id(trace, 32)?, u64::try_from(id(span, 16)?).ok()?);
    Some(Parent { trace: trace.to_be_bytes(), span: span.to_be_bytes() })
}

#[cfg(test)]
mod tests {
    use super::parent;

    #[test]
    fn a_parent_is_read_as_w3c_and_as_litmus_write_it() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let read = parent(text).unwrap();
        assert_eq!(u128::from_be_bytes(read.trace), 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(u64::from_be_bytes(read.span), 0xb7ad_6b71_6920_3331);
        assert_eq!(parent(&format!(r#"{{"traceparent":"{text}"}}"#)), Some(read));
        for wrong in
            ["", "{}", "00-0af7-b7ad-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "x-y-z"]
        {
            assert_eq!(parent(wrong), None, "{wrong}");
        }
    }
}
