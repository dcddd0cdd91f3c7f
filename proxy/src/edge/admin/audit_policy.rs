//! The audit policy of a tenant: what its audit holds, and how surely.

use std::sync::Arc;

use axum::{extract::State, response::Response};

use super::{
    desk::Desk,
    input::{Body, Members, NoQuery, Path},
    parts::AUDIT_POLICY,
    problem::Problem,
    schema::{AuditPolicy, AuditPolicyBody, MergePatch},
    tag::Condition,
    who::Admin,
};

/// The audit policy of a tenant; what is absent is as the gateway says.
#[utoipa::path(get, path = "/tenants/{tenant}/audit-policy", operation_id = "show_audit_policy", tag = "audit policy",
    params(("tenant" = String, Path, description = "The tenant's name.")),
    responses((status = 200, description = "It.", body = AuditPolicy, headers(("ETag" = String, description = "Its state.")))))]
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    _: NoQuery,
) -> Result<Response, Problem> {
    AUDIT_POLICY.show(&desk, &admin, &tenant).await
}

/// Makes the audit policy be what the body says.
#[utoipa::path(put, path = "/tenants/{tenant}/audit-policy", operation_id = "put_audit_policy", tag = "audit policy",
    params(("tenant" = String, Path, description = "The tenant's name."),
        ("If-Match" = String, Header, description = "Its ETag, or `*`.")),
    request_body = AuditPolicyBody,
    responses((status = 200, description = "It.", body = AuditPolicy, headers(("ETag" = String, description = "Its state.")))))]
pub(super) async fn put(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    _: NoQuery,
    condition: Condition,
    Body(body): Body<Members>,
) -> Result<Response, Problem> {
    AUDIT_POLICY.put(&desk, &admin, &tenant, &condition, body).await
}

/// Changes some fields of the audit policy: a merge patch (RFC 7396).
#[utoipa::path(patch, path = "/tenants/{tenant}/audit-policy", operation_id = "change_audit_policy", tag = "audit policy",
    params(("tenant" = String, Path, description = "The tenant's name."),
        ("If-Match" = String, Header, description = "Its ETag, or `*`.")),
    request_body(content((MergePatch = "application/merge-patch+json"), (MergePatch = "application/json"))),
    responses((status = 200, description = "It.", body = AuditPolicy, headers(("ETag" = String, description = "Its state.")))))]
pub(super) async fn patch(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    _: NoQuery,
    condition: Condition,
    Body(body): Body<Members>,
) -> Result<Response, Problem> {
    AUDIT_POLICY.patch(&desk, &admin, &tenant, &condition, body).await
}
