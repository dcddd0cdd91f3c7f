//! The servers of a tenant. How one is reached, which of its tools are offered, and its secrets, which go in and never come out.

use std::sync::Arc;

use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    desk::Desk,
    input::{Body, Members, NoQuery, Path, Query},
    page::{Page, PageQuery},
    parts::{Parts, SERVERS, Shown},
    problem::Problem,
    schema::{MergePatch, NewServer, Server, ServerBody},
    tag::Condition,
    who::Admin,
};

/// Which servers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Listed {
    /// Only those of this kind: `builtin`, `stdio`, `http`.
    #[param(inline)]
    kind: Option<Kind>,
    /// Only those that are switched on, or off.
    enabled: Option<bool>,
    /// Items at the most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
}

/// How a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ServerKind)]
pub(crate) enum Kind {
    /// It is part of the gateway.
    Builtin,
    /// It is a child process.
    Stdio,
    /// It is elsewhere.
    Http,
}

impl Kind {
    /// The field that only servers of this kind have.
    const fn field(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Stdio => "command",
            Self::Http => "url",
        }
    }
}

impl Listed {
    fn lets(&self, server: &Shown) -> bool {
        self.kind.is_none_or(|kind| server.has(kind.field()))
            && self.enabled.is_none_or(|enabled| server.is_enabled() == enabled)
    }
}

/// The servers of a tenant, by their names. Secrets are shown as `${sealed}`.
#[utoipa::path(get, path = "/tenants/{tenant}/servers", operation_id = "list_servers", tag = "servers",
    params(("tenant" = String, Path, description = "The tenant's name."), Listed),
    responses((status = 200, description = "A page of them.", body = Page<Server>)))]
pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    Query(query): Query<Listed>,
) -> Result<Json<Page<Shown>>, Problem> {
    let listed = Parts::of(&desk, &admin, &SERVERS, &tenant)?.list().await?;
    let page = PageQuery::of(query.limit, query.cursor.as_ref());
    Ok(Json(page.cut(listed.into_iter().filter(|server| query.lets(server)), Shown::name)?))
}

/// Makes a server.
#[utoipa::path(post, path = "/tenants/{tenant}/servers", operation_id = "create_server", tag = "servers",
    params(("tenant" = String, Path, description = "The tenant's name.")), request_body = NewServer,
    responses((status = 201, description = "It.", body = Server,
        headers(("ETag" = String, description = "Its state."), ("Location" = String, description = "Where it is.")))))]
pub(super) async fn create(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    _: NoQuery,
    Body(body): Body<Members>,
) -> Result<Response, Problem> {
    Parts::of(&desk, &admin, &SERVERS, &tenant)?.create(body).await
}

/// One server. Secrets are shown as `${sealed}`.
#[utoipa::path(get, path = "/tenants/{tenant}/servers/{server}", operation_id = "show_server", tag = "servers",
    params(("tenant" = String, Path, description = "The tenant's name."), ("server" = String, Path, description = "Its name.")),
    responses((status = 200, description = "It.", body = Server, headers(("ETag" = String, description = "Its state.")))))]
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path((tenant, server)): Path<(String, String)>,
    _: NoQuery,
) -> Result<Response, Problem> {
    Parts::of(&desk, &admin, &SERVERS, &tenant)?.show(&server).await
}

/// Makes the server be what the body says; `If-None-Match: *` makes a new one. The same content again changes nothing.
#[utoipa::path(put, path = "/tenants/{tenant}/servers/{server}", operation_id = "put_server", tag = "servers",
    params(("tenant" = String, Path, description = "The tenant's name."), ("server" = String, Path, description = "Its name."),
        ("If-Match" = Option<String>, Header, description = "Its ETag, or `*`."),
        ("If-None-Match" = Option<String>, Header, description = "`*` for one that is not there yet.")),
    request_body = ServerBody,
    responses(
        (status = 200, description = "It.", body = Server, headers(("ETag" = String, description = "Its state."))),
        (status = 201, description = "It is new.", body = Server,
            headers(("ETag" = String, description = "Its state."), ("Location" = String, description = "Where it is.")))))]
pub(super) async fn put(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path((tenant, server)): Path<(String, String)>,
    _: NoQuery,
    condition: Condition,
    Body(body): Body<Members>,
) -> Result<Response, Problem> {
    Parts::of(&desk, &admin, &SERVERS, &tenant)?.put(&server, &condition, body).await
}

/// Changes some fields of the server: a merge patch (RFC 7396).
#[utoipa::path(patch, path = "/tenants/{tenant}/servers/{server}", operation_id = "change_server", tag = "servers",
    params(("tenant" = String, Path, description = "The tenant's name."), ("server" = String, Path, description = "Its name."),
        ("If-Match" = String, Header, description = "Its ETag, or `*`.")),
    request_body(content((MergePatch = "application/merge-patch+json"), (MergePatch = "application/json"))),
    responses((status = 200, description = "It.", body = Server, headers(("ETag" = String, description = "Its state.")))))]
pub(super) async fn patch(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path((tenant, server)): Path<(String, String)>,
    _: NoQuery,
    condition: Condition,
    Body(body): Body<Members>,
) -> Result<Response, Problem> {
    Parts::of(&desk, &admin, &SERVERS, &tenant)?.patch(&server, &condition, body).await
}

/// Removes the server.
#[utoipa::path(delete, path = "/tenants/{tenant}/servers/{server}", operation_id = "delete_server", tag = "servers",
    params(("tenant" = String, Path, description = "The tenant's name."), ("server" = String, Path, description = "Its name."),
        ("If-Match" = String, Header, description = "Its ETag, or `*`.")),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path((tenant, server)): Path<(String, String)>,
    _: NoQuery,
    condition: Condition,
) -> Result<StatusCode, Problem> {
    Parts::of(&desk, &admin, &SERVERS, &tenant)?.delete(&server, &condition).await
}
