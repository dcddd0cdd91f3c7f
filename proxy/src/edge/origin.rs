//! Where a request says it comes from and goes to: Host and Origin against their lists (DNS rebinding, foreign pages), and
//! the CORS headers for pages that are allowed.

use http::{HeaderMap, HeaderValue, header};

use crate::error::GatewayError;

/// The hosts and origins that are allowed, as configured.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    hosts: Vec<String>,
    origins: Vec<String>,
}

/// What browsers may send.
const ALLOW_HEADERS: &str = "Authorization, X-API-Key, Content-Type, Accept, MCP-Protocol-Version, Mcp-Method, Mcp-Name, \
                             Mcp-Session-Id, Last-Event-ID";
/// What browsers may read.
const EXPOSE_HEADERS: &str = "Mcp-Session-Id, WWW-Authenticate, Retry-After, RateLimit, RateLimit-Policy";

impl Allowed {
    /// Lists of hosts (`name` for any port, or `name:port`; `*` for all) and origins (`scheme://host` for any port, or with
    /// the port; `*` for all). A loopback name in them stands for all of its spellings.
    pub fn new(hosts: &[String], origins: &[String]) -> Self {
        let lower = |list: &[String]| list.iter().map(|entry| entry.to_ascii_lowercase()).collect();
        Self { hosts: lower(hosts), origins: lower(origins) }
    }

    /// Refuses a request whose Host or Origin is on no list. A request without an Origin comes from no page.
    ///
    /// # Errors
    /// [`GatewayError::ForeignHost`].
    pub fn check(&self, headers: &HeaderMap) -> Result<(), GatewayError> {
        self.check_host(headers)?;
        match headers.get(header::ORIGIN) {
            Some(origin) if !self.is_page(origin) => Err(GatewayError::ForeignHost("Origin")),
            _ => Ok(()),
        }
    }

    /// Refuses a request whose Host is on no list, wherever it comes from.
    ///
    /// # Errors
    /// [`GatewayError::ForeignHost`].
    pub fn check_host(&self, headers: &HeaderMap) -> Result<(), GatewayError> {
        let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if self.host_allowed(host) { Ok(()) } else { Err(GatewayError::ForeignHost("Host")) }
    }

    /// Whether this is the Origin of a page that is allowed.
    pub fn is_page(&self, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|origin| self.origin_allowed(origin))
    }

    fn host_allowed(&self, host: &str) -> bool {
        self.hosts.iter().any(|allowed| allowed == "*" || authority_matches(allowed, host))
    }

    fn origin_allowed(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| {
            let pair = allowed.split_once("://").zip(origin.split_once("://"));
            allowed == "*"
                || pair.is_some_and(|((scheme, at), (own_scheme, own_at))| {
                    scheme.eq_ignore_ascii_case(own_scheme) && authority_matches(at, own_at)
                })
        })
    }

    /// Adds what a browser wants to see to an answer for an allowed page. A refusal for want of scopes is one, too: the page has to
    /// read its challenge.
    pub fn cors(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let Some(origin) = origin.filter(|origin| self.is_page(origin)) else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSE_HEADERS));
    }

    /// Adds the answer to a preflight.
    pub fn preflight(requested: Option<&HeaderValue>, headers: &mut HeaderMap) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET, DELETE, OPTIONS"));
        // Mcp-Param-* headers have the names of the tools' own parameters, so what is asked for is allowed by its prefix.
        let params = requested.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let params = params.split(',').map(str::trim).filter(|name| {
            name.len() > 10
                && name[..10].eq_ignore_ascii_case("mcp-param-")
                && name.bytes().all(|b| b.is_ascii_graphic())
        });
        let all = params.fold(ALLOW_HEADERS.to_owned(), |all, name| format!("{all}, {name}"));
        if let Ok(value) = HeaderValue::try_from(all) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, value);
        }
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
}

/// Whether an allowed `host` or `host:port` covers this authority. An entry without a port covers all ports.
pub(super) fn authority_matches(allowed: &str, authority: &str) -> bool {
    let (allowed_host, allowed_port) = split_port(allowed);
    let (host, port) = split_port(authority);
    host.eq_ignore_ascii_case(allowed_host) && (allowed_port.is_none() || allowed_port == port)
}

/// Host and port of an authority.
pub(super) fn split_port(authority: &str) -> (&str, Option<&str>) {
    let after_brackets = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[after_brackets..].rfind(':') {
        Some(colon) => (&authority[..after_brackets + colon], Some(&authority[after_brackets + colon + 1..])),
        None => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(host: &'static str, origin: Option<&'static str>) -> bool {
        let allowed = Allowed::new(
            &["localhost".into(), "127.0.0.1".into(), "[::1]".into(), "mcp.example:8443".into()],
            &["http://localhost".into(), "https://ide.example".into()],
        );
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        allowed.check(&headers).is_ok()
    }

    #[test]
    fn only_listed_hosts_and_origins_pass() {
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080", "[::1]", "mcp.example:8443"] {
            assert!(checked(host, None), "{host} was refused");
        }
        for host in
            ["", "evil.example", "localhost.evil.example", "mcp.example", "mcp.example:1", "a?localhost", "[::2]"]
        {
            assert!(!checked(host, None), "{host} was let in");
        }
        assert!(checked("localhost", Some("http://localhost:5173")));
        assert!(checked("localhost", Some("https://ide.example")));
        for origin in ["null", "https://localhost", "http://evil.example", "http://ide.example", "localhost"] {
            assert!(!checked("localhost", Some(origin)), "{origin} was let in");
        }
    }

    #[test]
    fn only_allowed_pages_are_told_that_they_may_read() {
        let allowed = Allowed::new(&["localhost".into()], &["https://ide.example".into()]);
        for (origin, expected) in [("https://ide.example", true), ("https://evil.example", false), ("null", false)] {
            let mut headers = HeaderMap::new();
            allowed.cors(Some(&HeaderValue::from_static(origin)), &mut headers);
            assert_eq!(headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), expected, "{origin}");
        }
    }
}
