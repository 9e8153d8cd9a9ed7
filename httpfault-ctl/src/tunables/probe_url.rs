//! Where a probe asks. Query, user and password can be secrets: they are sent and never shown.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{
    Uri,
    http::uri::{Authority, Parts},
};
use percent_encoding::percent_decode_str;

/// An http:// or https:// URL.
#[derive(Clone)]
pub(crate) struct ProbeUrl {
    /// Without user and password.
    pub(crate) uri: Uri,
    /// What they make of the header Authorization.
    pub(crate) authorization: Option<String>,
}

impl ProbeUrl {
    /// The error is what is allowed.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("an http:// or https:// URL ({why})");
        let uri: Uri = text.trim().parse().map_err(|error| wrong(&format!("{error}")))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(wrong("it has another scheme, or none"));
        }
        let mut parts: Parts = uri.into_parts();
        let whole = parts.authority.take().ok_or_else(|| wrong("it has no host"))?;
        let (user, place) = match whole.as_str().rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, whole.as_str()),
        };
        let authorization = user.map(|user| {
            let decoded: Vec<u8> = percent_decode_str(user).collect();
            format!("Basic {}", STANDARD.encode(decoded))
        });
        let place: Authority = place.parse().map_err(|error| wrong(&format!("{error}")))?;
        if place.host().is_empty() {
            return Err(wrong("it has no host"));
        }
        parts.authority = Some(place);
        let uri = Uri::from_parts(parts).map_err(|error| wrong(&format!("{error}")))?;
        Ok(Self { uri, authorization })
    }

    pub(crate) fn is_https(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }
}

impl fmt::Display for ProbeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.uri.authority().map_or("", Authority::as_str);
        write!(f, "{}://{place}{}", self.uri.scheme_str().unwrap_or_default(), self.uri.path())
    }
}

impl fmt::Debug for ProbeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::ProbeUrl;

    #[test]
    fn secrets_are_sent_and_not_shown() {
        let url = ProbeUrl::new("https://user:pa%40ss@shop.example:8443/health?token=secret#part").unwrap();
        assert_eq!(url.to_string(), "https://shop.example:8443/health");
        assert_eq!(format!("{url:?}"), "https://shop.example:8443/health");
        assert_eq!(url.uri.path_and_query().unwrap().as_str(), "/health?token=secret");
        // user:pa@ss
        assert_eq!(url.authorization.as_deref(), Some("Basic dXNlcjpwYUBzcw=="));
        assert_eq!(ProbeUrl::new("http://[::1]:80").unwrap().to_string(), "http://[::1]:80/");
        for wrong in
            ["", "shop.example", "ftp://shop.example/", "http://", "http://user@/", "/health", "http://a b/"]
        {
            assert!(ProbeUrl::new(wrong).is_err(), "{wrong}");
        }
    }
}
