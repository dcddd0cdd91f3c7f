//! Every route of the gateway, on one screen. The tests that guard tenants from each other are made from [`TABLE`]: a route
//! that is not in it is not served.

use http::{Method, StatusCode};

use super::mcp::{Reply, empty, plain};
use crate::app::App;

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
}

const fn public(method: &'static str, path: &'static str, tenant: bool) -> Route {
    Route { listener: Listener::Public, method, path, tenant }
}

const fn operations(path: &'static str) -> Route {
    Route { listener: Listener::Operations, method: "GET", path, tenant: false }
}

/// All routes.
pub const TABLE: &[Route] = &[
    public("POST", "/t/{tenant}/mcp", true),
    public("GET", "/t/{tenant}/mcp", true),
    public("DELETE", "/t/{tenant}/mcp", true),
    public("POST", "/t/{tenant}/{toolset}/mcp", true),
    public("GET", "/t/{tenant}/{toolset}/mcp", true),
    public("DELETE", "/t/{tenant}/{toolset}/mcp", true),
    public("GET", "/health", false),
    operations("/health"),
    operations("/livez"),
    operations("/readyz"),
    operations("/metrics"),
];

/// What a path of the public listener names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// A toolset's endpoint.
    Mcp { tenant: &'a str, toolset: Option<&'a str> },
    /// The health check.
    Health,
    /// Nothing.
    Nowhere,
}

/// Reads a path. Only plain segments name something, so no encoded or dotted spelling of a name is another way in.
pub(super) fn place(path: &str) -> Place<'_> {
    if path == "/health" {
        return Place::Health;
    }
    let Some(rest) = path.strip_prefix("/t/") else { return Place::Nowhere };
    let mut segments = rest.split('/');
    match (segments.next(), segments.next(), segments.next(), segments.next()) {
        (Some(tenant), Some("mcp"), None, None) => Place::Mcp { tenant, toolset: None },
        (Some(tenant), Some(toolset), Some("mcp"), None) => Place::Mcp { tenant, toolset: Some(toolset) },
        _ => Place::Nowhere,
    }
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

    #[test]
    fn only_plain_paths_name_an_endpoint() {
        assert_eq!(place("/t/a/mcp"), Place::Mcp { tenant: "a", toolset: None });
        assert_eq!(place("/t/a/b/mcp"), Place::Mcp { tenant: "a", toolset: Some("b") });
        for path in ["/", "/t/a", "/t/a/mcp/", "/t/a/b/c/mcp", "//t/a/mcp", "/T/a/mcp", "/t/a/MCP", "/health/"] {
            assert_eq!(place(path), Place::Nowhere, "{path}");
        }
    }

    #[test]
    fn every_route_of_a_tenant_is_one_that_paths_are_read_as() {
        for route in TABLE.iter().filter(|route| route.listener == Listener::Public) {
            let path = route.path.replace(['{', '}'], "");
            assert_eq!(matches!(place(&path), Place::Mcp { .. }), route.tenant, "{path}");
        }
    }
}
