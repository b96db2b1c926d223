//! The web pages that may open a socket. Browsers send no preflight request for a socket, but they name the page's
//! origin. Pure.

use std::sync::Arc;

use warp::http::HeaderMap;
use warp::http::header::{HOST, HeaderValue, ORIGIN};

/// The pages that may connect.
#[derive(Debug, Clone)]
pub(super) enum Origins {
    /// All of them: what opens a socket is the token, which no browser sends by itself.
    All,
    /// Those of these origins, and the daemon's own.
    Listed(Arc<[Origin]>),
}

/// Scheme, host and port, as browsers compare them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origins {
    /// Those that the operator lists; none listed, or `*`, are all.
    pub(super) fn listed(origins: &[String]) -> Self {
        if origins.is_empty() || origins.iter().any(|origin| origin == "*") {
            return Self::All;
        }
        Self::Listed(origins.iter().filter_map(|origin| Origin::parse(origin)).collect())
    }

    /// True if a request with these headers may open a socket. Other clients than browsers name no origin.
    pub(super) fn admit(&self, headers: &HeaderMap) -> bool {
        let Self::Listed(listed) = self else { return true };
        let mut named = headers.get_all(ORIGIN).into_iter();
        let Some(first) = named.next() else { return true };
        let origin = first.to_str().ok().and_then(Origin::parse).filter(|_| named.next().is_none());
        origin.is_some_and(|origin| listed.contains(&origin) || origin.is_of(headers.get(HOST)))
    }
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = parts(authority, default_port(&scheme)?)?;
        Some(Self { scheme, host, port })
    }

    /// True if it is the origin of the requested host. Only a proxy in front knows the scheme of the request.
    fn is_of(&self, host: Option<&HeaderValue>) -> bool {
        let host = host.and_then(|host| host.to_str().ok());
        let asked = host.zip(default_port(&self.scheme)).and_then(|(host, port)| parts(host, port));
        asked.is_some_and(|(host, port)| host == self.host && port == self.port)
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Host and port of `<host>` or `<host>:<port>`, where a host may be an address in brackets.
fn parts(authority: &str, default: u16) -> Option<(String, u16)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, default),
    };
    let is_of_host = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    (!host.is_empty() && host.chars().all(is_of_host)).then(|| (host.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(origin: &str, host: &str) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        HeaderMap::from_iter([(ORIGIN, value(origin)), (HOST, value(host))])
    }

    #[test]
    fn origins_are_compared_as_browsers_do() {
        let origins = Origins::listed(&["https://app.example".into(), "http://[::1]:3000".into()]);
        for (origin, is_known) in [
            ("https://app.example", true),
            ("https://APP.example:443", true),
            ("http://[::1]:3000", true),
            ("http://[::1]", false),
            ("https://app.example/", false),
            ("https://app.example:99999", false),
            ("wss://app.example", false),
            ("app.example", false),
            ("", false),
        ] {
            assert_eq!(origins.admit(&headers(origin, "sync.example")), is_known, "{origin}");
        }
        assert!(origins.admit(&HeaderMap::new()));
        assert!(origins.admit(&headers("http://[::1]:8000", "[::1]:8000")));
        assert!(!origins.admit(&headers("http://[::1]", "[::1]:8000")));
        assert!(Origins::listed(&["https://a.example".into(), "*".into()]).admit(&headers("null", "x")));
    }
}
