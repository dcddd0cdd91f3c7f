//! The issuers of a tenant. Who signs its people in.

use std::sync::Arc;

use axum::{Json, extract::State, response::Response};
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    desk::Desk,
    input::{Body, Members, NoQuery, Path, Query},
    page::{Page, PageQuery},
    parts::{ISSUERS, Parts, Shown},
    problem::Problem,
    schema::{Issuer, IssuerBody, MergePatch, NewIssuer},
    tag::Condition,
    who::Admin,
};

/// Which issuers.
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

/// The issuers of a tenant, by their names. Secrets are shown as `${sealed}`.
#[utoipa::path(get, path = "/tenants/{tenant}/issuers", operation_id = "list_issuers", tag = "issuers",
    params(("tenant" = String, Path, description = "The tenant's name."), Listed),
    responses((status = 200, description = "A page of them.", body = Page<Issuer>)))]
pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    Query(query): Query<Listed>,
) -> Result<Json<Page<Shown>>, Problem> {
    let listed = Parts::of(&desk, &admin, &ISSUERS, &tenant)?.list().await?;
    let page = PageQuery::of(query.limit, query.cursor.as_ref());
    Ok(Json(page.cut(listed, Shown::name)?))
}

/// Makes an issuer.
#[utoipa::path(post, path = "/tenants/{tenant}/issuers", operation_id = "create_issuer", tag = "issuers",
    params(("tenant" = String, Path, description = "The tenant's name.")), request_body = NewIssuer,
    responses((status = 201, description = "It.", body = Issuer,
        headers(("ETag" = String, description = "Its state."), ("Location" = String, description = "Where it is.")))))]
pub(super) async fn create(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    _: NoQuery,
    Body(body): Body<Members>,
) -> Result<Response, Problem> {
    Parts::of(&desk, &admin, &ISSUERS, &tenant)?.create(body).await
}

/// One issuer. Secrets are shown as `${sealed}`.
#[utoipa::path(get, path = "/tenants/{tenant}/issuers/{issuer}", operation_id = "show_issuer", tag = "issuers",
    params(("tenant" = String, Path, description = "The tenant's name."), ("issuer" = String, Path, description = "Its name.")),
    responses((status = 200, description = "It.", body = Issuer, headers(("ETag" = String, description = "Its state.")))))]
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path((tenant, issuer)): Path<(String, String)>,
    _: NoQuery,
) -> Result<Response, Problem> {
    Parts::of(&desk, &admin, &ISSUERS, &tenant)?.show(&issuer).await
}

/// Makes the issuer be what the body says; `If-None-Match: *` makes a new one. The same content again changes nothing.
#[utoipa::path(put, path = "/tenants/{tenant}/issuers/{issuer}", operation_id = "put_issuer", tag = "issuers",
    params(("tenant" = String, Path, description = "The tenant's name."), ("issuer" = String, Path, description = "Its name."),
        ("If-Match" = Option<String>, Header, description = "Its ETag, or `*`."),
        ("If-None-Match" = Option<String>, Header, description = "`*` for one that is not there yet.")),
    request_body = IssuerBody,
    responses(
        (status = 200, description = "It.", body = Issuer, headers(("ETag" = String, description = "Its state."))),
        (status = 201, description = "It is new.", body = Issuer,
            headers(("ETag" = String, description = "Its state."), ("Location" = String, description = "Where it is.")))))]
pub(super) async fn put(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path((tenant, issuer)): Path<(String, String)>,
    _: NoQuery,
    condition: Condition,
    Body(body): Body<Members>,
) -> Result<Response, Problem> {
    Parts::of(&desk, &admin, &ISSUERS, &tenant)?.put(&issuer, &condition, body).await
}

/// Changes some fields of the issuer: a merge patch (RFC 7396).
#[utoipa::path(patch, path = "/tenants/{tenant}/issuers/{issuer}", operation_id = "change_issuer", tag = "issuers",
    params(("tenant" = String, Path, description = "The tenant's name."), ("issuer" = String, Path, description = "Its name."),
        ("If-Match" = String, Header, description = "Its ETag, or `*`.")),
    request_body(content((MergePatch = "application/merge-patch+json"), (MergePatch = "application/json"))),
    responses((status = 200, description = "It.", body = Issuer, headers(("ETag" = String, description = "Its state.")))))]
pub(super) async fn patch(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path((tenant, issuer)): Path<(String, String)>,
    _: NoQuery,
    condition: Condition,
    Body(body): Body<Members>,
) -> Result<Response, Problem> {
    Parts::of(&desk, &admin, &ISSUERS, &tenant)?.patch(&issuer, &condition, body).await
}

/// Removes the issuer.
#[utoipa::path(delete, path = "/tenants/{tenant}/issuers/{issuer}", operation_id = "delete_issuer", tag = "issuers",
    params(("tenant" = String, Path, description = "The tenant's name."), ("issuer" = String, Path, description = "Its name."),
        ("If-Match" = String, Header, description = "Its ETag, or `*`.")),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path((tenant, issuer)): Path<(String, String)>,
    _: NoQuery,
    condition: Condition,
) -> Result<StatusCode, Problem> {
    Parts::of(&desk, &admin, &ISSUERS, &tenant)?.delete(&issuer, &condition).await
}
