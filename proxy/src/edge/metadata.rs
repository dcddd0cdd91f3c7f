//! What anybody may read about signing in to a toolset: its resource metadata (RFC 9728), and the way to its authorization
//! server for clients that look for it here (2025-03-26). There only where a toolset takes tokens; everywhere else the answer is
//! the one of a path that names nothing. Called by [`super::mcp`].

use std::{collections::BTreeSet, net::IpAddr};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use patchbay_core::{issuer::IssuerSpec, json, model::DEFAULT_TOOLSET, snapshot::View};
use url::Url;

use super::{
    body::ReplyBody,
    mcp::{self, Reply, empty, plain},
    routes::{self, About, Document},
};
use crate::{app::App, auth::site::Site, tenancy::TenantState};

/// The methods of these documents.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
/// Clients ask once for each time that they sign in; a change should not be hidden for long.
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=60");
/// The same where the document depends on who asks.
const KEPT_ALONE: HeaderValue = HeaderValue::from_static("private, max-age=60");
/// A scope for clients to add by themselves; a resource never asks for it (MCP authorization, refresh tokens).
const OFFLINE: &str = "offline_access";

/// Answers a request for a document.
pub(super) fn answer(app: &App, sender: IpAddr, parts: &Parts, document: Document, rest: &str) -> Reply {
    if app.allowed.check_host(&parts.headers).is_err() {
        return plain(StatusCode::FORBIDDEN, "the Host header names a host that is not allowed here\n");
    }
    let Some(said) = said(app, sender, &parts.headers, document, rest) else { return routes::nowhere() };
    let mut reply = match parts.method {
        Method::GET | Method::HEAD => told(said, app.sites.is_fixed()),
        Method::OPTIONS => preflight(),
        _ => not_allowed(),
    };
    // Public and the same for everybody, so pages of any origin may read it: browser clients have to.
    reply.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    reply
}

/// What a document says.
enum Said {
    /// This.
    Json(String),
    /// That somebody else has it.
    Elsewhere(HeaderValue),
}

fn said(app: &App, sender: IpAddr, headers: &HeaderMap, document: Document, rest: &str) -> Option<Said> {
    let oauth = &app.config.oauth;
    let site = app.sites.of(sender, headers)?;
    let (tenant, toolset) = match routes::about(rest, &site.prefix)? {
        About::Toolset(endpoint) => (endpoint.tenant, endpoint.toolset.unwrap_or(DEFAULT_TOOLSET)),
        About::Gateway => oauth.root_resource.as_ref().map(|(tenant, toolset)| (tenant.as_str(), toolset.as_str()))?,
    };
    let state = app.tenants.state(tenant)?;
    let open = Open::find(&state, toolset)?;
    if document == Document::Resource {
        return Some(Said::Json(open.document(&site)));
    }
    let first = open.issuers().next().filter(|_| oauth.authorization_server_redirect)?;
    HeaderValue::try_from(metadata_of(first, document)?.as_str()).ok().map(Said::Elsewhere)
}

fn told(said: Said, same_for_all: bool) -> Reply {
    let mut reply = match said {
        Said::Json(text) => mcp::json(StatusCode::OK, ReplyBody::Whole(text.into())),
        Said::Elsewhere(location) => {
            let mut reply = empty(StatusCode::TEMPORARY_REDIRECT);
            reply.headers_mut().insert(header::LOCATION, location);
            reply
        }
    };
    reply.headers_mut().insert(header::CACHE_CONTROL, if same_for_all { KEPT } else { KEPT_ALONE });
    reply
}

fn preflight() -> Reply {
    let mut reply = empty(StatusCode::NO_CONTENT);
    let headers = reply.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    reply
}

fn not_allowed() -> Reply {
    let mut reply = plain(StatusCode::METHOD_NOT_ALLOWED, "this URL takes GET\n");
    reply.headers_mut().insert(header::ALLOW, METHODS);
    reply
}

/// A toolset that takes tokens.
struct Open<'a> {
    state: &'a TenantState,
    view: &'a View,
}

impl<'a> Open<'a> {
    /// The toolset, if tokens open it, somebody issues them, and its tenant is switched on.
    fn find(state: &'a TenantState, toolset: &str) -> Option<Self> {
        let view = state.snapshot.views.get(toolset)?;
        let is_open = view.access.takes_tokens() && state.snapshot.enabled && !state.sign_in.is_empty();
        is_open.then_some(Self { state, view })
    }

    fn issuers(&self) -> impl Iterator<Item = &'a IssuerSpec> {
        self.state.sign_in.issuers()
    }

    fn document(&self, site: &Site) -> String {
        let (tenant, toolset) = (self.state.snapshot.slug.as_str(), self.view.toolset.as_str());
        let name = if toolset == DEFAULT_TOOLSET { tenant.to_owned() } else { format!("{tenant} / {toolset}") };
        let scopes = match list(self.scopes()) {
            none if none == "[]" => String::new(),
            scopes => format!(r#","scopes_supported":{scopes}"#),
        };
        format!(
            r#"{{"resource":{},"authorization_servers":{}{scopes},"bearer_methods_supported":["header"],"resource_name":{}}}"#,
            json::quote(&site.resource(tenant, toolset)),
            list(self.issuers().map(|issuer| issuer.issuer.as_str())),
            json::quote(&name),
        )
    }

    /// All scopes that anything here needs.
    fn scopes(&self) -> BTreeSet<&'a str> {
        let rules = &self.view.rules.scopes;
        let lists = [&rules.enter, &rules.read, &rules.write].into_iter().chain(rules.tools.values());
        let all = lists.chain(self.issuers().map(|issuer| &issuer.scopes_required)).flatten();
        all.map(String::as_str).filter(|&scope| scope != OFFLINE).collect()
    }
}

fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = texts.into_iter().map(json::quote).collect();
    format!("[{}]", quoted.join(","))
}

/// Where an issuer's own metadata is: as the operator says, or by the rule of the document that was asked for.
fn metadata_of(issuer: &IssuerSpec, document: Document) -> Option<Url> {
    if let Some(url) = &issuer.metadata_url {
        return Url::parse(url).ok();
    }
    let mut url = Url::parse(&issuer.issuer).ok()?;
    let path = url.path().trim_end_matches('/').to_owned();
    let name = document.well_known();
    url.set_path(&if document == Document::OpenId { format!("{path}{name}") } else { format!("{name}{path}") });
    Some(url)
}
