//! What anybody may read about signing in to a toolset: its resource metadata (RFC 9728), and the way to its authorization
//! server for clients that look for it here (2025-03-26). There only where a toolset takes tokens; everywhere else the answer is
//! the one of a path that names nothing. Called by [`super::mcp`].

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use patchbay_core::{Slug, access::AccessRules, json, model::DEFAULT_TOOLSET, snapshot::View};
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
    let open = Open::find(&*app.tenants.state(tenant)?, toolset)?;
    if document == Document::Resource {
        return Some(Said::Json(open.document(&site)));
    }
    let first = open.issuers.first().filter(|_| oauth.authorization_server_redirect)?;
    HeaderValue::try_from(first.metadata(document)?.as_str()).ok().map(Said::Elsewhere)
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

/// A toolset that takes tokens, as strangers may know it.
struct Open {
    tenant: Slug,
    toolset: Slug,
    rules: Arc<AccessRules>,
    /// In the operator's order; at least one.
    issuers: Vec<Issuer>,
}

impl Open {
    /// The toolset, if tokens open it, somebody issues them, and its tenant is switched on.
    fn find(state: &TenantState, toolset: &str) -> Option<Self> {
        let snapshot = &state.snapshot;
        let view = snapshot.views.get(toolset).filter(|view| snapshot.enabled && view.access.takes_tokens())?;
        let issuers = issuers_of(state);
        let open =
            Self { tenant: snapshot.slug.clone(), toolset: view.toolset.clone(), rules: rules_of(view), issuers };
        Some(open).filter(|open| !open.issuers.is_empty())
    }

    fn document(&self, site: &Site) -> String {
        let resource = site.resource(self.tenant.as_str(), self.toolset.as_str());
        let rules = &self.rules.scopes;
        let of_toolset = [&rules.enter, &rules.read, &rules.write].into_iter().chain(rules.tools.values()).flatten();
        let of_issuers = self.issuers.iter().flat_map(|issuer| &issuer.scopes_required);
        let scopes: BTreeSet<_> =
            of_toolset.chain(of_issuers).map(String::as_str).filter(|&scope| scope != OFFLINE).collect();
        let issuers: Vec<_> = self.issuers.iter().map(|issuer| &*issuer.iss).collect();
        let name = match self.toolset.as_str() {
            DEFAULT_TOOLSET => self.tenant.to_string(),
            toolset => format!("{} / {toolset}", self.tenant),
        };
        let scopes = if scopes.is_empty() { String::new() } else { format!(r#","scopes_supported":{}"#, list(scopes)) };
        format!(
            r#"{{"resource":{},"authorization_servers":{}{scopes},"bearer_methods_supported":["header"],"resource_name":{}}}"#,
            json::quote(&resource),
            list(issuers),
            json::quote(&name),
        )
    }
}

fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = texts.into_iter().map(json::quote).collect();
    format!("[{}]", quoted.join(","))
}

/// An issuer, as strangers may know it.
struct Issuer {
    /// As in `iss`.
    iss: String,
    /// Where its metadata is, when the operator says.
    metadata_url: Option<String>,
    /// What all of its tokens need.
    scopes_required: Vec<String>,
}

impl Issuer {
    /// Where its metadata is: as the operator says, or by the rule of the document that was asked for.
    fn metadata(&self, document: Document) -> Option<Url> {
        if let Some(url) = &self.metadata_url {
            return Url::parse(url).ok();
        }
        let mut url = Url::parse(&self.iss).ok()?;
        let path = url.path().trim_end_matches('/').to_owned();
        let name = document.well_known();
        url.set_path(&if document == Document::OpenId { format!("{path}{name}") } else { format!("{name}{path}") });
        Some(url)
    }
}

/// What tokens need at a toolset.
fn rules_of(_view: &View) -> Arc<AccessRules> {
    Arc::default()
}

/// Who signs a tenant's people in.
fn issuers_of(_state: &TenantState) -> Vec<Issuer> {
    Vec::new()
}
