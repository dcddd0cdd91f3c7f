//! What was issued and opens nothing any more: single tokens, and all that somebody has. Judging tokens by it is `patchbay-token`'s;
//! a gateway that runs hears of each through the store.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::{HeaderName, HeaderValue, StatusCode, header};
use patchbay_core::{
    RevocationId, Slug,
    admin::Need,
    issuer::{IssuerRow, RevocationRow, Revoked},
    model::TenantRow,
};
use patchbay_store::StoreError;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    ROOT,
    desk::Desk,
    input::{Body, NoQuery, Path, Query, name},
    keys::wrong,
    page::{Page, PageQuery},
    problem::{FieldError, Problem},
    tag::{Condition, Tag},
    when,
    who::Admin,
};
use crate::{audit::now_ms, ledger::keeping::DAY_MS};

/// How long the revocation of one token is kept when nobody says so: the longest life that a token may have, and a little.
const TOKEN_DAYS: u32 = 2;
/// The most days after which a revocation is forgotten.
const FOR_DAYS_MAX: u32 = 3650;
/// The longest subject, `jti` or reason, in bytes.
const REVOKED_BYTES_MAX: usize = 1024;

/// What is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RevokedKind {
    /// One token.
    Token,
    /// All tokens of somebody, those of later too.
    Subject,
    /// The tokens of somebody that were issued before the revocation: signing in again helps.
    SubjectBefore,
}

/// A revocation.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Revocation {
    /// The row.
    id: String,
    /// What is revoked.
    kind: RevokedKind,
    /// The issuer's name in the tenant; absent when the tenant does not have it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    /// The issuer, as its tokens write it.
    iss: String,
    /// The token's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    /// Whose tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Since when.
    #[schema(format = DateTime)]
    created: String,
    /// When it is forgotten; absent for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires: Option<String>,
}

/// Which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    /// Items at the most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
}

/// What is to be revoked: one token by its `jti`, or all tokens of a subject.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRevocation {
    /// The issuer's name in the tenant; may be left out when there is only one.
    issuer: Option<String>,
    /// The token's id.
    #[schema(min_length = 1, max_length = 1024)]
    jti: Option<String>,
    /// Whose tokens, by the subject that the issuer gives them.
    #[schema(min_length = 1, max_length = 1024)]
    subject: Option<String>,
    /// With `subject`: only what was issued until now, so that signing in again helps.
    #[serde(default)]
    until_now: bool,
    /// Why, for those who read the list later.
    #[schema(min_length = 1, max_length = 1024)]
    reason: Option<String>,
    /// After how many days it is forgotten; absent: two for a token, which cannot live longer, and never for a subject.
    #[schema(minimum = 1, maximum = 3650)]
    for_days: Option<u32>,
}

/// One of them with its state.
type Shown = ([(HeaderName, HeaderValue); 1], Json<Revocation>);

impl Revocation {
    fn of(row: &RevocationRow, tenant: &TenantRow) -> Self {
        let (kind, iss, jti, subject) = match &row.what {
            Revoked::Token { issuer, jti } => (RevokedKind::Token, issuer, Some(jti.clone()), None),
            Revoked::Subject { issuer, subject } => (RevokedKind::Subject, issuer, None, Some(subject.clone())),
            Revoked::SubjectBefore { issuer, subject } => {
                (RevokedKind::SubjectBefore, issuer, None, Some(subject.clone()))
            }
        };
        let known = tenant.issuers.iter().find(|known| known.spec.issuer == *iss);
        Self {
            id: row.id.to_string(),
            kind,
            issuer: known.map(|known| known.slug.to_string()),
            iss: iss.clone(),
            jti,
            subject,
            reason: row.reason.clone(),
            created: when::shown(row.created_ms),
            expires: row.expires_ms.map(when::shown),
        }
    }
}

/// What is revoked in a tenant, oldest first. Those that are forgotten are left out.
#[utoipa::path(get, path = "/tenants/{tenant}/revocations", operation_id = "list_revocations", tag = "revocations",
    params(("tenant" = String, Path, description = "The tenant's name."), Filter),
    responses((status = 200, description = "A page of them.", body = Page<Revocation>)))]
pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<Revocation>>, Problem> {
    let tenant = name(&tenant)?;
    admin.may(Need::See(&tenant))?;
    let Filter { limit, cursor } = filter;
    let tenant = desk.tenant(&tenant).await?;
    let mut rows = desk.store().revocation_list(tenant.id, now_ms()).await?;
    let place = |row: &RevocationRow| format!("{:020} {}", row.created_ms, row.id);
    rows.sort_by_cached_key(place);
    let Page { items, next } = PageQuery { limit, cursor }.cut(rows, place)?;
    Ok(Json(Page { items: items.iter().map(|row| Revocation::of(row, &tenant)).collect(), next }))
}

/// Refuses a token, or all that somebody has, on every gateway within five seconds.
#[utoipa::path(post, path = "/tenants/{tenant}/revocations", operation_id = "create_revocation", tag = "revocations", request_body = NewRevocation,
    params(("tenant" = String, Path, description = "The tenant's name.")),
    responses(
        (status = 201, description = "It is revoked.", body = Revocation,
            headers(("ETag" = String, description = "Its state."), ("Location" = String, description = "Where it is."))),
        (status = 200, description = "It was revoked before, and for as long.", body = Revocation,
            headers(("ETag" = String, description = "Its state."), ("Location" = String, description = "Where it is.")))))]
pub(super) async fn create(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    _: NoQuery,
    Body(new): Body<NewRevocation>,
) -> Result<(StatusCode, [(HeaderName, HeaderValue); 2], Json<Revocation>), Problem> {
    let slug = name(&tenant)?;
    let pass = admin.may(Need::Change(&slug))?;
    let tenant = desk.tenant(&slug).await?;
    let mut row = new.check(&tenant, now_ms())?;
    let note = pass.note(format!("revoked {} ({})", words(&row.what), row.id));
    let status = match desk.store().revocation_add(&row, &note).await {
        Ok(()) => StatusCode::CREATED,
        Err(StoreError::Exists(_)) => StatusCode::OK,
        Err(error) => return Err(error.into()),
    };
    // What stands may reach farther than what was asked for, when it did so before.
    let standing = desk.store().revocation_list(tenant.id, now_ms()).await?;
    if let Some(standing) = standing.into_iter().find(|standing| standing.what == row.what) {
        row = standing;
    }
    let shown = Revocation::of(&row, &tenant);
    let place = format!("{ROOT}/tenants/{slug}/revocations/{}", shown.id);
    let place = HeaderValue::try_from(place).expect("names and ids are ASCII");
    Ok((status, [Tag::of(&shown).header(), (header::LOCATION, place)], Json(shown)))
}

/// One revocation.
#[utoipa::path(get, path = "/tenants/{tenant}/revocations/{revocation}", operation_id = "show_revocation", tag = "revocations",
    params(("tenant" = String, Path, description = "The tenant's name."), ("revocation" = String, Path, description = "Its id.")),
    responses((status = 200, description = "It.", body = Revocation,
        headers(("ETag" = String, description = "Its state.")))))]
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path((tenant, id)): Path<(String, String)>,
    _: NoQuery,
) -> Result<Shown, Problem> {
    let tenant = name(&tenant)?;
    admin.may(Need::See(&tenant))?;
    let (tenant, row) = find(&desk, &tenant, &id).await?;
    let shown = Revocation::of(&row, &tenant);
    Ok(([Tag::of(&shown).header()], Json(shown)))
}

/// Takes a revocation back.
#[utoipa::path(delete, path = "/tenants/{tenant}/revocations/{revocation}", operation_id = "lift_revocation", tag = "revocations",
    params(("tenant" = String, Path, description = "The tenant's name."), ("revocation" = String, Path, description = "Its id."),
        ("If-Match" = String, Header, description = "Its ETag, or `*`.")),
    responses((status = 204, description = "It is taken back.")))]
pub(super) async fn lift(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path((tenant, id)): Path<(String, String)>,
    _: NoQuery,
    condition: Condition,
) -> Result<StatusCode, Problem> {
    let tenant = name(&tenant)?;
    let pass = admin.may(Need::Change(&tenant))?;
    let (tenant, row) = find(&desk, &tenant, &id).await?;
    condition.change(&Tag::of(&Revocation::of(&row, &tenant)))?;
    let note = pass.note(format!("took back the revocation {}", row.id));
    if desk.store().revocation_lift(tenant.id, row.id, &note).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found())
    }
}

async fn find(desk: &Desk, tenant: &Slug, id: &str) -> Result<(TenantRow, RevocationRow), Problem> {
    let id: RevocationId = id.parse().map_err(|_| Problem::not_found())?;
    let tenant = desk.tenant(tenant).await?;
    let rows = desk.store().revocation_list(tenant.id, now_ms()).await?;
    let row = rows.into_iter().find(|row| row.id == id).ok_or_else(Problem::not_found)?;
    Ok((tenant, row))
}

impl NewRevocation {
    fn check(self, tenant: &TenantRow, now_ms: i64) -> Result<RevocationRow, Problem> {
        let mut errors = Vec::new();
        for (pointer, text) in [("/jti", &self.jti), ("/subject", &self.subject), ("/reason", &self.reason)] {
            if text.as_ref().is_some_and(|text| text.is_empty() || text.len() > REVOKED_BYTES_MAX) {
                errors.push(wrong(pointer, format!("expected 1 to {REVOKED_BYTES_MAX} bytes")));
            }
        }
        if self.for_days.is_some_and(|days| !(1..=FOR_DAYS_MAX).contains(&days)) {
            errors.push(wrong("/for_days", format!("expected 1 to {FOR_DAYS_MAX}")));
        }
        if self.until_now && self.subject.is_none() {
            errors.push(wrong("/until_now", "expected it together with subject only"));
        }
        let issuer = match issuer(tenant, self.issuer.as_deref()) {
            Ok(issuer) => issuer.spec.issuer.clone(),
            Err(error) => {
                errors.push(error);
                String::new()
            }
        };
        let what = match (self.jti, self.subject) {
            (Some(jti), None) => Some(Revoked::Token { issuer, jti }),
            (None, Some(subject)) if self.until_now => Some(Revoked::SubjectBefore { issuer, subject }),
            (None, Some(subject)) => Some(Revoked::Subject { issuer, subject }),
            (Some(_), Some(_)) | (None, None) => {
                errors.push(wrong("", "expected one of jti and subject"));
                None
            }
        };
        let Some(what) = what.filter(|_| errors.is_empty()) else { return Err(Problem::invalid(errors)) };
        let days = match &what {
            Revoked::Token { .. } => Some(self.for_days.unwrap_or(TOKEN_DAYS)),
            Revoked::Subject { .. } | Revoked::SubjectBefore { .. } => self.for_days,
        };
        Ok(RevocationRow {
            id: RevocationId::random(),
            tenant: tenant.id,
            what,
            reason: self.reason,
            created_ms: now_ms,
            expires_ms: days.map(|days| now_ms + i64::from(days) * DAY_MS),
        })
    }
}

/// The issuer of that name, or the only one.
fn issuer<'a>(tenant: &'a TenantRow, wanted: Option<&str>) -> Result<&'a IssuerRow, FieldError> {
    match (wanted, &tenant.issuers[..]) {
        (_, []) => Err(wrong("/issuer", "the tenant has no issuers, so it takes no tokens")),
        (None, [only]) => Ok(only),
        (None, _) => Err(wrong("/issuer", "expected the name of one of the tenant's issuers, since it has several")),
        (Some(wanted), all) => all
            .iter()
            .find(|issuer| issuer.slug.as_str() == wanted)
            .ok_or_else(|| wrong("/issuer", "expected the name of one of the tenant's issuers")),
    }
}

fn words(what: &Revoked) -> String {
    match what {
        Revoked::Token { issuer, jti } => format!("the token {jti} of {issuer}"),
        Revoked::Subject { issuer, subject } => format!("all tokens of {subject} at {issuer}"),
        Revoked::SubjectBefore { issuer, subject } => format!("the older tokens of {subject} at {issuer}"),
    }
}

#[cfg(test)]
mod tests;
