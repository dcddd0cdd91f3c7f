//! Tenants: the list, one, its beginning and its end. What they are made of is in the files of its parts.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use patchbay_config::tenant_from_json;
use patchbay_core::{Generation, Slug, admin::Need, model::TenantRow};
use patchbay_store::{StoreError, TenantSummary};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::{
    ROOT,
    desk::Desk,
    document::{Edit, applied_row, merge::merge, part::Part},
    input::{Body, Members, NoQuery, Path, Query, name},
    page::{Page, PageQuery},
    parts::{field, named},
    problem::{FieldError, Problem},
    schema::MergePatch,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// A tenant that is switched off answers nobody.
    enabled: bool,
    /// The number of its state; each change adds one.
    generation: u64,
}

/// A new tenant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTenant {
    /// Its name in URLs: a-z, 0-9 and `-`, at most 40 characters.
    name: String,
    /// A title for people.
    title: Option<String>,
    /// A tenant that is switched off answers nobody.
    #[serde(default = "yes")]
    enabled: bool,
}

const fn yes() -> bool {
    true
}

/// Which tenants.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Listed {
    /// Only those that are switched on, or off.
    enabled: Option<bool>,
    /// Only those whose name begins so.
    prefix: Option<String>,
    /// Items at the most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
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
#[utoipa::path(get, path = "/tenants", operation_id = "list_tenants", tag = "tenants", params(Listed),
    responses((status = 200, description = "A page of them.", body = Page<Tenant>)))]
pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Query(query): Query<Listed>,
) -> Result<Json<Page<Tenant>>, Problem> {
    let wanted = |tenant: &TenantSummary| {
        admin.sees(&tenant.slug)
            && query.enabled.is_none_or(|enabled| tenant.enabled == enabled)
            && query.prefix.as_ref().is_none_or(|prefix| tenant.slug.as_str().starts_with(prefix))
    };
    let page = PageQuery::of(query.limit, query.cursor.as_ref());
    let listed = desk.store().tenant_list().await?.into_iter().filter(wanted).map(Tenant::from);
    Ok(Json(page.cut(listed, |tenant| tenant.name.clone())?))
}

/// Makes a tenant, with nothing in it.
#[utoipa::path(post, path = "/tenants", operation_id = "create_tenant", tag = "tenants", request_body = NewTenant,
    responses((status = 201, description = "It.", body = Tenant,
        headers(("ETag" = String, description = "Its state."), ("Location" = String, description = "Where it is.")))))]
pub(super) async fn create(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    _: NoQuery,
    Body(new): Body<NewTenant>,
) -> Result<Response, Problem> {
    let pass = admin.may(Need::Platform)?;
    let slug: Slug = new.name.parse().map_err(|error: patchbay_core::SlugError| field("/name", error.to_string()))?;
    let json = json!({ "tenant": slug, "title": new.title, "enabled": new.enabled });
    let doc = tenant_from_json(&json, "the tenant", &super::document::refuse_references)?;
    let note = pass.note(format!("made the tenant {slug}"));
    let applied = match desk.store().tenant_apply(&doc, Some(Generation(0)), &note).await {
        Err(StoreError::Conflict { .. }) => return Err(Problem::conflict(format!("there is a tenant {slug} already"))),
        applied => applied?,
    };
    let shown = Tenant::from(applied_row(&doc, applied));
    let place = [(header::LOCATION, location(&slug))];
    Ok((StatusCode::CREATED, [Tag::of(&shown).header()], place, Json(shown)).into_response())
}

/// One tenant.
#[utoipa::path(get, path = "/tenants/{tenant}", operation_id = "show_tenant", tag = "tenants", params(("tenant" = String, Path, description = "Its name.")),
    responses((status = 200, description = "It.", body = Tenant, headers(("ETag" = String, description = "Its state.")))))]
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    _: NoQuery,
) -> Result<([(HeaderName, HeaderValue); 1], Json<Tenant>), Problem> {
    let tenant = name(&tenant)?;
    admin.may(Need::See(&tenant))?;
    let shown = find(&desk, &tenant).await?;
    Ok(([Tag::of(&shown).header()], Json(shown)))
}

/// Changes what is said of the tenant itself: its title, and whether it is switched on. A merge patch (RFC 7396).
#[utoipa::path(patch, path = "/tenants/{tenant}", operation_id = "change_tenant", tag = "tenants",
    params(("tenant" = String, Path, description = "Its name."), ("If-Match" = String, Header, description = "Its ETag, or `*`.")),
    request_body(content((MergePatch = "application/merge-patch+json"), (MergePatch = "application/json"))),
    responses((status = 200, description = "It.", body = Tenant, headers(("ETag" = String, description = "Its state.")))))]
pub(super) async fn patch(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    _: NoQuery,
    condition: Condition,
    Body(mut body): Body<Members>,
) -> Result<Response, Problem> {
    let tenant = name(&tenant)?;
    let edit = Edit::begin(&desk, &admin, &tenant, Part::Head)?;
    named(&mut body, Some(&tenant))?;
    let strange = body.keys().filter(|key| !["title", "enabled"].contains(&key.as_str())).map(|key| FieldError {
        pointer: format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        detail: "expected `title` or `enabled`; the parts of a tenant have paths of their own".to_owned(),
    });
    let strange: Vec<_> = strange.collect();
    if !strange.is_empty() {
        return Err(Problem::invalid(strange));
    }
    let body = serde_json::Value::Object(body);
    let changed = edit.change(format!("changed the tenant {tenant}"), |document| {
        condition.change(&Tag::of(&Tenant::from(document.row.clone())))?;
        let mut json = document.json.clone();
        merge(&mut json, body.clone());
        Ok((json, ()))
    });
    let shown = Tenant::from(changed.await?.now.row);
    Ok(([Tag::of(&shown).header()], Json(shown)).into_response())
}

/// Removes a tenant with all that belongs to it, apart from its audit.
#[utoipa::path(delete, path = "/tenants/{tenant}", operation_id = "delete_tenant", tag = "tenants",
    params(("tenant" = String, Path, description = "Its name."), ("If-Match" = String, Header, description = "Its ETag, or `*`.")),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    _: NoQuery,
    condition: Condition,
) -> Result<StatusCode, Problem> {
    let tenant = name(&tenant)?;
    let pass = admin.may(Need::Platform)?;
    let found = find(&desk, &tenant).await?;
    condition.change(&Tag::of(&found))?;
    let expected = (!condition.is_any()).then_some(Generation(found.generation));
    let note = pass.note(format!("removed the tenant {tenant}"));
    if desk.store().tenant_delete(&tenant, expected, &note).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found())
    }
}

/// The tenant as it is shown, also when its secrets cannot be opened.
async fn find(desk: &Desk, tenant: &Slug) -> Result<Tenant, Problem> {
    match desk.store().tenant_load(tenant).await {
        Ok(row) => row.map(Tenant::from).ok_or_else(Problem::not_found),
        Err(StoreError::Sealed(_)) => {
            let listed = desk.store().tenant_list().await?.into_iter().find(|summary| summary.slug == *tenant);
            listed.map(Tenant::from).ok_or_else(Problem::not_found)
        }
        Err(error) => Err(error.into()),
    }
}

/// Where a tenant is.
pub(super) fn location(tenant: &Slug) -> HeaderValue {
    HeaderValue::from_str(&format!("{ROOT}/tenants/{tenant}")).expect("names are plain characters")
}
