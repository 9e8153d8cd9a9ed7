//! Statuses that mean little without a certain header.

use super::Fault;

/// A header that clients look for with a status, and that the fault does not bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingHeader {
    pub status: u16,
    pub name: &'static str,
    /// A value that would do.
    pub example: &'static str,
}

impl Fault {
    /// The header that RFC 9110 (sections 10.2.1, 10.2.2, 11.6.1, 11.7.1) asks for with this status, if it is not given.
    pub fn missing_header(&self) -> Option<MissingHeader> {
        let (name, example) = match self.status {
            301 | 302 | 303 | 307 | 308 => ("Location", "https://example.com/"),
            401 => ("WWW-Authenticate", "Basic realm=\"chaos\""),
            405 => ("Allow", "GET, HEAD"),
            407 => ("Proxy-Authenticate", "Basic realm=\"chaos\""),
            _ => return None,
        };
        let given = self.headers.iter().any(|header| header.name.as_str().eq_ignore_ascii_case(name));
        (!given).then_some(MissingHeader { status: self.status, name, example })
    }
}

impl MissingHeader {
    /// What to say about it; `give` is what the header is given with.
    pub fn warning(&self, give: &str) -> String {
        let Self { status, name, example } = self;
        format!("a {status} without {name}, which clients look for: give one with {give} '{name}: {example}'")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Selection;
    use super::*;

    #[test]
    fn only_what_is_not_given_is_missing() {
        let fault = |status, headers: &[&str]| Fault {
            status,
            replacement: None,
            headers: headers.iter().map(|line| line.parse().unwrap()).collect(),
            marker: true,
            percent: 100.0,
            seed: None,
            selection: Selection::default(),
            grpc: Default::default(),
        };
        assert_eq!(fault(302, &[]).missing_header().map(|header| header.name), Some("Location"));
        assert_eq!(fault(302, &["location: /a"]).missing_header(), None);
        assert_eq!(fault(503, &[]).missing_header(), None);
        let told = fault(405, &[]).missing_header().unwrap().warning("--response-header");
        assert!(told.ends_with("--response-header 'Allow: GET, HEAD'"), "{told}");
    }
}
