//! Tenants: the list, one, its end. What they are made of is in the files of its parts.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::{HeaderName, HeaderValue, StatusCode};
use patchbay_core::{admin::Need, model::TenantRow};
use patchbay_store::TenantSummary;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    desk::Desk,
    input::{Path, Query, name},
    page::{Page, PageQuery},
    problem::Problem,
    tag::{Condition, Tag},
    who::Admin,
};

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tenant {
    /// Its name in URLs.
    name: String,
    /// Its row, which a tenant of the same name made later does not have.
    id: String,
    /// A title for people.
    title: Option<String>,
    /// A tenant that is switched off answers nobody.
    enabled: bool,
    /// The number of its state; each change adds one.
    generation: u64,
}

/// Which tenants.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// Only those that are switched on, or off.
    enabled: Option<bool>,
    /// Only those whose name begins so.
    prefix: Option<String>,
}

impl From<TenantSummary> for Tenant {
    fn from(row: TenantSummary) -> Self {
        let TenantSummary { id, slug, title, enabled, generation } = row;
        Self { name: slug.to_string(), id: id.to_string(), title, enabled, generation: generation.0 }
    }
}

impl From<TenantRow> for Tenant {
    fn from(row: TenantRow) -> Self {
        let TenantRow { id, slug, title, enabled, generation, .. } = row;
        Self { name: slug.to_string(), id: id.to_string(), title, enabled, generation: generation.0 }
    }
}

/// The tenants that you may see, by their names.
#[utoipa::path(get, path = "/tenants", tag = "tenants", params(Filter, PageQuery),
    responses((status = 200, description = "A page of them.", body = Page<Tenant>)))]
pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Query(filter): Query<Filter>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Tenant>>, Problem> {
    let wanted = |tenant: &TenantSummary| {
        admin.sees(&tenant.slug)
            && filter.enabled.is_none_or(|enabled| tenant.enabled == enabled)
            && filter.prefix.as_ref().is_none_or(|prefix| tenant.slug.as_str().starts_with(prefix))
    };
    let listed = desk.store().tenant_list().await?.into_iter().filter(wanted).map(Tenant::from);
    Ok(Json(page.cut(listed, |tenant| tenant.name.clone())?))
}

/// One tenant.
#[utoipa::path(get, path = "/tenants/{tenant}", tag = "tenants", params(("tenant" = String, Path, description = "Its name.")),
    responses((status = 200, description = "It.", body = Tenant, headers(("ETag" = String, description = "Its state.")))))]
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
) -> Result<([(HeaderName, HeaderValue); 1], Json<Tenant>), Problem> {
    let tenant = name(&tenant)?;
    admin.may(Need::See(&tenant))?;
    let shown = Tenant::from(desk.tenant(&tenant).await?);
    Ok(([Tag::of(&shown).header()], Json(shown)))
}

/// Removes a tenant with all that belongs to it, apart from its audit.
#[utoipa::path(delete, path = "/tenants/{tenant}", tag = "tenants",
    params(("tenant" = String, Path, description = "Its name."), ("If-Match" = String, Header, description = "Its ETag, or `*`.")),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    condition: Condition,
) -> Result<StatusCode, Problem> {
    let tenant = name(&tenant)?;
    let pass = admin.may(Need::Platform)?;
    condition.change(&Tag::of(&Tenant::from(desk.tenant(&tenant).await?)))?;
    let note = pass.note(format!("removed the tenant {tenant}"));
    if desk.store().tenant_delete(&tenant, &note).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found())
    }
}
