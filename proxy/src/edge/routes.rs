//! Every route of the gateway, on one screen. The tests that guard tenants from each other are made from [`TABLE`]: a route
//! that is not in it is not served.

use http::{Method, StatusCode};

use super::mcp::{Reply, empty, plain};
use crate::{app::App, auth::site};

/// Where a route is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// The listener of clients.
    Public,
    /// The listener of operators.
    Operations,
}

/// One route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where it is served.
    pub listener: Listener,
    /// The HTTP method.
    pub method: &'static str,
    /// The path, with `{names}` for what varies.
    pub path: &'static str,
    /// Whether it belongs to a tenant, and so asks for a credential.
    pub tenant: bool,
    /// Whether it tells anybody how to sign in: there only where a toolset takes tokens, else as if it were no route.
    pub sign_in: bool,
}

const fn public(method: &'static str, path: &'static str, tenant: bool) -> Route {
    Route { listener: Listener::Public, method, path, tenant, sign_in: false }
}

const fn sign_in(path: &'static str) -> Route {
    Route { listener: Listener::Public, method: "GET", path, tenant: false, sign_in: true }
}

const fn operations(path: &'static str) -> Route {
    Route { listener: Listener::Operations, method: "GET", path, tenant: false, sign_in: false }
}

/// All routes. Those of the public listener are served below the path of `public_url` as well; behind a well-known name, that
/// path stands after the name. Where GET is served, HEAD is.
pub const TABLE: &[Route] = &[
    public("POST", "/t/{tenant}/mcp", true),
    public("GET", "/t/{tenant}/mcp", true),
    public("DELETE", "/t/{tenant}/mcp", true),
    public("POST", "/t/{tenant}/{toolset}/mcp", true),
    public("GET", "/t/{tenant}/{toolset}/mcp", true),
    public("DELETE", "/t/{tenant}/{toolset}/mcp", true),
    sign_in("/.well-known/oauth-protected-resource"),
    sign_in("/.well-known/oauth-protected-resource/t/{tenant}/mcp"),
    sign_in("/.well-known/oauth-protected-resource/t/{tenant}/{toolset}/mcp"),
    sign_in("/.well-known/oauth-authorization-server"),
    sign_in("/.well-known/oauth-authorization-server/t/{tenant}/mcp"),
    sign_in("/.well-known/oauth-authorization-server/t/{tenant}/{toolset}/mcp"),
    sign_in("/.well-known/openid-configuration"),
    sign_in("/.well-known/openid-configuration/t/{tenant}/mcp"),
    sign_in("/.well-known/openid-configuration/t/{tenant}/{toolset}/mcp"),
    public("GET", "/health", false),
    operations("/health"),
    operations("/livez"),
    operations("/readyz"),
    operations("/metrics"),
    operations("/limits"),
];

/// What a path of the public listener names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// A toolset's endpoint.
    Mcp(Endpoint<'a>),
    /// A document for those who want to sign in, and what stands after its well-known name; see [`about`].
    SignIn(Document, &'a str),
    /// The health check.
    Health,
    /// Nothing.
    Nowhere,
}

/// The names in a toolset's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Endpoint<'a> {
    pub tenant: &'a str,
    /// `None` for the default one, which has no name in its path.
    pub toolset: Option<&'a str>,
}

/// The documents for those who want to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Document {
    /// Of the toolset as a resource (RFC 9728).
    Resource,
    /// Of its authorization server, where clients of 2025-03-26 look for it (RFC 8414).
    AuthorizationServer,
    /// The same by the name of OpenID.
    OpenId,
}

impl Document {
    const ALL: [Self; 3] = [Self::Resource, Self::AuthorizationServer, Self::OpenId];

    /// Its well-known name, as a path.
    pub(super) const fn well_known(self) -> &'static str {
        match self {
            Self::Resource => site::WELL_KNOWN,
            Self::AuthorizationServer => "/.well-known/oauth-authorization-server",
            Self::OpenId => "/.well-known/openid-configuration",
        }
    }
}

/// What a document is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About<'a> {
    /// The gateway as a whole.
    Gateway,
    /// A toolset.
    Toolset(Endpoint<'a>),
}

/// Reads a path; `prefix` is what stands before all of them in the gateway's public address. Some proxies take it away and some do
/// not, so it may be there or not. Only plain segments name something, so no encoded or dotted spelling of a name is another
/// way in.
pub(super) fn place<'a>(path: &'a str, prefix: &str) -> Place<'a> {
    match below(path, prefix).map_or(Place::Nowhere, named) {
        Place::Nowhere => named(path),
        place => place,
    }
}

/// Reads what stands after a well-known name.
pub(super) fn about<'a>(rest: &'a str, prefix: &str) -> Option<About<'a>> {
    let named = |path: &'a str| {
        if path.is_empty() { Some(About::Gateway) } else { endpoint(path).map(About::Toolset) }
    };
    below(rest, prefix).and_then(named).or_else(|| named(rest))
}

/// What stands after a prefix of whole segments.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn named(path: &str) -> Place<'_> {
    if let Some(endpoint) = endpoint(path) {
        return Place::Mcp(endpoint);
    }
    if path == "/health" {
        return Place::Health;
    }
    let document = |document: Document| Some((document, below(path, document.well_known())?));
    let found = Document::ALL.into_iter().find_map(document);
    found.map_or(Place::Nowhere, |(document, rest)| Place::SignIn(document, rest))
}

fn endpoint(path: &str) -> Option<Endpoint<'_>> {
    let mut segments = path.strip_prefix("/t/")?.split('/');
    match (segments.next()?, segments.next()?, segments.next(), segments.next()) {
        (tenant, "mcp", None, None) => Some(Endpoint { tenant, toolset: None }),
        (tenant, toolset, Some("mcp"), None) => Some(Endpoint { tenant, toolset: Some(toolset) }),
        _ => None,
    }
}

/// The answer where nothing is.
pub(super) fn nowhere() -> Reply {
    plain(StatusCode::NOT_FOUND, "not found: the MCP endpoints are at /t/{tenant}/mcp\n")
}

/// The health check that people write: 200 while the gateway serves, 503 while it drains or has nothing to serve yet.
pub(super) fn health(app: &App, method: &Method) -> Reply {
    match (method, app.ready()) {
        (&Method::GET | &Method::HEAD, Ok(())) => plain(StatusCode::OK, "ok\n"),
        (&Method::GET | &Method::HEAD, Err(why)) => plain(StatusCode::SERVICE_UNAVAILABLE, why),
        _ => empty(StatusCode::METHOD_NOT_ALLOWED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Endpoint<'static> = Endpoint { tenant: "a", toolset: None };
    const AB: Endpoint<'static> = Endpoint { tenant: "a", toolset: Some("b") };

    #[test]
    fn only_plain_paths_name_an_endpoint() {
        assert_eq!(place("/t/a/mcp", ""), Place::Mcp(A));
        assert_eq!(place("/t/a/b/mcp", ""), Place::Mcp(AB));
        for path in [
            "",
            "/",
            "/t/a",
            "/t/a/mcp/",
            "/t/a/b/c/mcp",
            "//t/a/mcp",
            "/T/a/mcp",
            "/t/a/MCP",
            "/health/",
            "/gw/t/a/mcp",
            "/.well-known",
            "/.well-known/oauth-protected-resources",
            "/.well-known/jwks.json",
            "/register",
        ] {
            assert_eq!(place(path, ""), Place::Nowhere, "{path}");
        }
    }

    #[test]
    fn the_prefix_of_the_public_address_may_be_there_or_not() {
        for (path, expected) in [
            ("/gw/t/a/mcp", Place::Mcp(A)),
            ("/t/a/mcp", Place::Mcp(A)),
            ("/gw/t/a/b/mcp", Place::Mcp(AB)),
            ("/gw/health", Place::Health),
            ("/health", Place::Health),
            ("/gw", Place::Nowhere),
            ("/gwt/a/mcp", Place::Nowhere),
            ("/gw/gw/t/a/mcp", Place::Nowhere),
            ("/gw/.well-known/oauth-protected-resource/t/a/mcp", Place::SignIn(Document::Resource, "/t/a/mcp")),
            ("/.well-known/oauth-protected-resource/gw/t/a/mcp", Place::SignIn(Document::Resource, "/gw/t/a/mcp")),
        ] {
            assert_eq!(place(path, "/gw"), expected, "{path}");
        }
        assert_eq!(place("/t/a/mcp", "/t"), Place::Mcp(A), "a prefix that looks like one of ours, taken away");
        assert_eq!(place("/t/t/a/mcp", "/t"), Place::Mcp(A), "the same, left where it was");
    }

    #[test]
    fn a_document_is_about_a_toolset_or_about_the_gateway() {
        for (rest, expected) in [
            ("", Some(About::Gateway)),
            ("/gw", Some(About::Gateway)),
            ("/t/a/mcp", Some(About::Toolset(A))),
            ("/gw/t/a/b/mcp", Some(About::Toolset(AB))),
            ("/", None),
            ("/gw/", None),
            ("/other/t/a/mcp", None),
            ("/t/a/mcp/", None),
            ("/t/a", None),
            ("/gw/gw/t/a/mcp", None),
        ] {
            assert_eq!(about(rest, "/gw"), expected, "{rest}");
        }
        assert_eq!(about("/gw/t/a/mcp", ""), None);
    }

    #[test]
    fn every_route_is_one_that_paths_are_read_as() {
        for route in TABLE.iter().filter(|route| route.listener == Listener::Public) {
            let path = route.path.replace(['{', '}'], "");
            let place = place(&path, "");
            assert_ne!(place, Place::Nowhere, "{path}");
            assert_eq!(matches!(place, Place::Mcp(_)), route.tenant, "{path}");
            assert_eq!(matches!(place, Place::SignIn(..)), route.sign_in, "{path}");
            if let Place::SignIn(_, rest) = place {
                assert!(about(rest, "").is_some(), "{path}");
            }
        }
    }
}
