//! The admin API: `/admin/v1` on a listener of its own. What a noun can do is in the file of that noun; what they share is in
//! [`desk`] (what a request works on), [`who`] (who asks and may they), [`problem`], [`tag`], [`page`], [`when`] and [`input`]. On the
//! listener, [`listener`], requests go through the [`gate`] first, and those that must not be done twice through [`once`].
//!
//! The command line speaks the same API: to a gateway elsewhere, or in process to [`routes()`] over the local store, where no gateway
//! need run. So a handler must not count on a running gateway: what only one knows is behind [`desk::Desk::live`].

mod admin_keys;
mod audit;
mod audit_policy;
mod catalogs;
pub(crate) mod desk;
pub(crate) mod document;
mod fence;
mod gate;
mod gateway;
mod health;
mod here;
pub(crate) mod input;
mod inside;
mod issuers;
mod keys;
#[cfg(test)]
mod kit;
mod limits;
mod listener;
#[cfg(test)]
mod matrix;
mod me;
mod once;
mod openapi;
pub(crate) mod page;
mod parts;
mod probe;
pub(crate) mod problem;
mod reference;
mod revocations;
pub(crate) mod schema;
mod sealing;
mod servers;
mod sessions;
mod snapshots;
pub(crate) mod tag;
mod tenants;
#[cfg(test)]
pub(crate) mod tests;
mod toolsets;
mod usage;
pub(crate) mod when;
pub(crate) mod who;

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, routing::get};
#[cfg(test)]
use serde_json::Value as Json;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{desk::Desk, problem::Problem};
pub(crate) use self::{
    inside::{Inside, Pieces},
    listener::serve,
};

/// Where the API stands on its listener.
pub(crate) const ROOT: &str = "/admin/v1";
/// Bytes of a request's body.
const ADMIN_BODY_BYTES_MAX: usize = 4 << 20;

/// Every operation, with what describes it.
fn operations() -> OpenApiRouter<Arc<Desk>> {
    let nouns = OpenApiRouter::new()
        .routes(routes!(admin_keys::list, admin_keys::create))
        .routes(routes!(admin_keys::rotate))
        .routes(routes!(admin_keys::show, admin_keys::revoke))
        .routes(routes!(audit::export::of_all))
        .routes(routes!(audit::export::of_tenant))
        .routes(routes!(audit::of_all))
        .routes(routes!(audit::of_tenant))
        .routes(routes!(audit::public_keys))
        .routes(routes!(audit::verify::of_all))
        .routes(routes!(audit::verify::of_tenant))
        .routes(routes!(audit_policy::show, audit_policy::put, audit_policy::patch))
        .routes(routes!(catalogs::refresh))
        .routes(routes!(catalogs::show))
        .routes(routes!(document::whole::show, document::whole::put))
        .routes(routes!(gateway::show))
        .routes(routes!(health::list))
        .routes(routes!(health::show))
        .routes(routes!(issuers::list, issuers::create))
        .routes(routes!(issuers::show, issuers::put, issuers::patch, issuers::delete))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::rotate))
        .routes(routes!(keys::show, keys::revoke))
        .routes(routes!(limits::show, limits::put, limits::patch))
        .routes(routes!(me::show))
        .routes(routes!(probe::ask))
        .routes(routes!(revocations::list, revocations::create))
        .routes(routes!(revocations::show, revocations::lift))
        .routes(routes!(sealing::reseal))
        .routes(routes!(sealing::show))
        .routes(routes!(servers::list, servers::create))
        .routes(routes!(servers::show, servers::put, servers::patch, servers::delete))
        .routes(routes!(sessions::end))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::streams))
        .routes(routes!(snapshots::show))
        .routes(routes!(tenants::list, tenants::create))
        .routes(routes!(tenants::show, tenants::patch, tenants::delete))
        .routes(routes!(toolsets::list, toolsets::create))
        .routes(routes!(toolsets::show, toolsets::put, toolsets::patch, toolsets::delete))
        .routes(routes!(usage::standing));
    OpenApiRouter::with_openapi(openapi::Head::openapi()).nest(ROOT, nouns)
}

/// The operations over this desk. Whoever calls them puts a [`who::Admin`] into the request's extensions.
pub(crate) fn routes(desk: Arc<Desk>) -> Router {
    let (router, _) = operations().split_for_parts();
    let described = Router::new()
        .route("/", get(reference::serve))
        .route(ROOT, get(reference::serve))
        .route(&format!("{ROOT}/"), get(reference::serve))
        .route(&format!("{ROOT}/openapi.json"), get(openapi::serve));
    router
        .merge(described)
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(DefaultBodyLimit::max(ADMIN_BODY_BYTES_MAX))
        .with_state(desk)
}

/// The OpenAPI document.
#[cfg(test)]
pub(crate) fn document() -> &'static Json {
    openapi::document()
}
