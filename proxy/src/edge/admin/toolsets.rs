//! The toolsets of a tenant. Named views of its servers; `default` is always there.

use std::sync::Arc;

use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    desk::Desk,
    input::{Body, Members, NoQuery, Path, Query},
    page::{Page, PageQuery},
    parts::{Parts, Shown, TOOLSETS},
    problem::Problem,
    schema::{MergePatch, NewToolset, Toolset, ToolsetBody},
    tag::Condition,
    who::Admin,
};

/// Which toolsets.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Listed {
    /// Items at the most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
}

/// The toolsets of a tenant, by their names. Secrets are shown as `${sealed}`.
#[utoipa::path(get, path = "/tenants/{tenant}/toolsets", operation_id = "list_toolsets", tag = "toolsets",
    params(("tenant" = String, Path, description = "The tenant's name."), Listed),
    responses((status = 200, description = "A page of them.", body = Page<Toolset>)))]
pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    Query(query): Query<Listed>,
) -> Result<Json<Page<Shown>>, Problem> {
    let listed = Parts::of(&desk, &admin, &TOOLSETS, &tenant)?.list().await?;
    let page = PageQuery::of(query.limit, query.cursor.as_ref());
    Ok(Json(page.cut(listed, Shown::name)?))
}

/// Makes a toolset.
#[utoipa::path(post, path = "/tenants/{tenant}/toolsets", operation_id = "create_toolset", tag = "toolsets",
    params(("tenant" = String, Path, description = "The tenant's name.")), request_body = NewToolset,
    responses((status = 201, description = "It.", body = Toolset,
        headers(("ETag" = String, description = "Its state."), ("Location" = String, description = "Where it is.")))))]
pub(super) async fn create(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    _: NoQuery,
    Body(body): Body<Members>,
) -> Result<Response, Problem> {
    Parts::of(&desk, &admin, &TOOLSETS, &tenant)?.create(body).await
}

/// One toolset. Secrets are shown as `${sealed}`.
#[utoipa::path(get, path = "/tenants/{tenant}/toolsets/{toolset}", operation_id = "show_toolset", tag = "toolsets",
    params(("tenant" = String, Path, description = "The tenant's name."), ("toolset" = String, Path, description = "Its name.")),
    responses((status = 200, description = "It.", body = Toolset, headers(("ETag" = String, description = "Its state.")))))]
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path((tenant, toolset)): Path<(String, String)>,
    _: NoQuery,
) -> Result<Response, Problem> {
    Parts::of(&desk, &admin, &TOOLSETS, &tenant)?.show(&toolset).await
}

/// Makes the toolset be what the body says; `If-None-Match: *` makes a new one. The same content again changes nothing.
#[utoipa::path(put, path = "/tenants/{tenant}/toolsets/{toolset}", operation_id = "put_toolset", tag = "toolsets",
    params(("tenant" = String, Path, description = "The tenant's name."), ("toolset" = String, Path, description = "Its name."),
        ("If-Match" = Option<String>, Header, description = "Its ETag, or `*`."),
        ("If-None-Match" = Option<String>, Header, description = "`*` for one that is not there yet.")),
    request_body = ToolsetBody,
    responses(
        (status = 200, description = "It.", body = Toolset, headers(("ETag" = String, description = "Its state."))),
        (status = 201, description = "It is new.", body = Toolset,
            headers(("ETag" = String, description = "Its state."), ("Location" = String, description = "Where it is.")))))]
pub(super) async fn put(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path((tenant, toolset)): Path<(String, String)>,
    _: NoQuery,
    condition: Condition,
    Body(body): Body<Members>,
) -> Result<Response, Problem> {
    Parts::of(&desk, &admin, &TOOLSETS, &tenant)?.put(&toolset, &condition, body).await
}

/// Changes some fields of the toolset: a merge patch (RFC 7396).
#[utoipa::path(patch, path = "/tenants/{tenant}/toolsets/{toolset}", operation_id = "change_toolset", tag = "toolsets",
    params(("tenant" = String, Path, description = "The tenant's name."), ("toolset" = String, Path, description = "Its name."),
        ("If-Match" = String, Header, description = "Its ETag, or `*`.")),
    request_body(content((MergePatch = "application/merge-patch+json"), (MergePatch = "application/json"))),
    responses((status = 200, description = "It.", body = Toolset, headers(("ETag" = String, description = "Its state.")))))]
pub(super) async fn patch(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path((tenant, toolset)): Path<(String, String)>,
    _: NoQuery,
    condition: Condition,
    Body(body): Body<Members>,
) -> Result<Response, Problem> {
    Parts::of(&desk, &admin, &TOOLSETS, &tenant)?.patch(&toolset, &condition, body).await
}

/// Removes the toolset. `default` is always there: removed, it is as plain as in a new tenant.
#[utoipa::path(delete, path = "/tenants/{tenant}/toolsets/{toolset}", operation_id = "delete_toolset", tag = "toolsets",
    params(("tenant" = String, Path, description = "The tenant's name."), ("toolset" = String, Path, description = "Its name."),
        ("If-Match" = String, Header, description = "Its ETag, or `*`.")),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path((tenant, toolset)): Path<(String, String)>,
    _: NoQuery,
    condition: Condition,
) -> Result<StatusCode, Problem> {
    Parts::of(&desk, &admin, &TOOLSETS, &tenant)?.delete(&toolset, &condition).await
}
