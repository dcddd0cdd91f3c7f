//! The limits of a tenant: what its callers may do, and how often.

use std::sync::Arc;

use axum::{extract::State, response::Response};

use super::{
    desk::Desk,
    input::{Body, Members, NoQuery, Path},
    parts::LIMITS,
    problem::Problem,
    schema::{Limits, LimitsBody, MergePatch},
    tag::Condition,
    who::Admin,
};

/// The limits of a tenant; what is absent is as the gateway says.
#[utoipa::path(get, path = "/tenants/{tenant}/limits", operation_id = "show_limits", tag = "limits",
    params(("tenant" = String, Path, description = "The tenant's name.")),
    responses((status = 200, description = "They.", body = Limits, headers(("ETag" = String, description = "Their state.")))))]
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    _: NoQuery,
) -> Result<Response, Problem> {
    LIMITS.show(&desk, &admin, &tenant).await
}

/// Makes the limits be what the body says.
#[utoipa::path(put, path = "/tenants/{tenant}/limits", operation_id = "put_limits", tag = "limits",
    params(("tenant" = String, Path, description = "The tenant's name."),
        ("If-Match" = String, Header, description = "Their ETag, or `*`.")),
    request_body = LimitsBody,
    responses((status = 200, description = "They.", body = Limits, headers(("ETag" = String, description = "Their state.")))))]
pub(super) async fn put(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    _: NoQuery,
    condition: Condition,
    Body(body): Body<Members>,
) -> Result<Response, Problem> {
    LIMITS.put(&desk, &admin, &tenant, &condition, body).await
}

/// Changes some fields of the limits: a merge patch (RFC 7396).
#[utoipa::path(patch, path = "/tenants/{tenant}/limits", operation_id = "change_limits", tag = "limits",
    params(("tenant" = String, Path, description = "The tenant's name."),
        ("If-Match" = String, Header, description = "Their ETag, or `*`.")),
    request_body(content((MergePatch = "application/merge-patch+json"), (MergePatch = "application/json"))),
    responses((status = 200, description = "They.", body = Limits, headers(("ETag" = String, description = "Their state.")))))]
pub(super) async fn patch(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    _: NoQuery,
    condition: Condition,
    Body(body): Body<Members>,
) -> Result<Response, Problem> {
    LIMITS.patch(&desk, &admin, &tenant, &condition, body).await
}
