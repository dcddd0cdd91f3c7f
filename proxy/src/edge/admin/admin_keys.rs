//! Admin keys: those of the platform are for platform admins; those of a tenant also for the tenant's own admins, so that a key can
//! never make one that may do more than it. How requests are signed in with them is [`crate::auth::admin`]'s.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::{HeaderName, HeaderValue, StatusCode, header};
use patchbay_core::{
    KeyId, Slug,
    admin::{AdminKeyRow, Grant, Need},
    audit::Actor,
};
use patchbay_store::StoreError;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    ROOT,
    desk::Desk,
    input::{Body, Path, Query},
    page::{Page, PageQuery},
    problem::{FieldError, Problem},
    tag::{Condition, Tag},
    when,
    who::{Admin, Pass},
};
use crate::{audit::now_ms, auth::admin::NewAdminKey};

/// Keys of the platform, or of one tenant, that open something at once.
const ADMIN_KEYS_ACTIVE_MAX: usize = 100;
/// The longest label, in characters.
const LABEL_CHARS_MAX: usize = 100;
/// The longest time that a key goes on after it was replaced, in seconds.
const OVERLAP_S_MAX: u32 = 7 * 24 * 3600;

/// What an admin may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Everything.
    PlatformAdmin,
    /// Everything that belongs to one tenant.
    TenantAdmin,
    /// To look at what belongs to one tenant.
    TenantViewer,
}

impl Role {
    /// The role of a grant.
    pub(crate) const fn of(grant: &Grant) -> Self {
        match grant {
            Grant::PlatformAdmin => Self::PlatformAdmin,
            Grant::TenantAdmin { .. } => Self::TenantAdmin,
            Grant::TenantViewer { .. } => Self::TenantViewer,
        }
    }
}

/// Whether a key opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyState {
    /// It does.
    Active,
    /// Its time is over.
    Expired,
    /// Somebody revoked it.
    Revoked,
}

/// An admin key, without the key.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct AdminKey {
    /// The row.
    id: String,
    /// What people call it.
    label: String,
    /// The beginning of the key, to recognise it by.
    shown: String,
    /// What it may do.
    role: Role,
    /// The tenant that this is about; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    /// Whether it opens anything.
    state: KeyState,
    /// When it was made.
    #[schema(format = DateTime)]
    created: String,
    /// From when on it is refused by itself; absent for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires: Option<String>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    revoked: Option<String>,
    /// When it was last used, to the minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    used: Option<String>,
}

impl AdminKey {
    fn of(row: &AdminKeyRow, now_ms: i64) -> Self {
        let state = match row {
            AdminKeyRow { revoked_ms: Some(_), .. } => KeyState::Revoked,
            row if row.is_active(now_ms) => KeyState::Active,
            _ => KeyState::Expired,
        };
        Self {
            id: row.id.to_string(),
            label: row.label.clone(),
            shown: row.shown.clone(),
            role: Role::of(&row.grant),
            tenant: row.grant.tenant().map(ToString::to_string),
            state,
            created: when::shown(row.created_ms),
            expires: row.expires_ms.map(when::shown),
            revoked: row.revoked_ms.map(when::shown),
            used: row.used_ms.map(when::shown),
        }
    }

    /// That it was used is no other state of it: else nobody could revoke with it what they saw a minute ago.
    fn tag(&self) -> Tag {
        Tag::of(&Self { used: None, ..self.clone() })
    }
}

/// An admin key that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct MadeAdminKey {
    /// The key itself. This is the only time that it is shown.
    key: String,
    #[serde(flatten)]
    about: AdminKey,
}

/// Which keys, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    /// Only those of this tenant.
    tenant: Option<String>,
    /// Only those in this state.
    #[param(inline)]
    state: Option<KeyState>,
    /// Items at the most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
}

/// An admin key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewAdminKey)]
pub(crate) struct NewKey {
    /// What people call it.
    #[schema(min_length = 1, max_length = 100)]
    label: String,
    /// What it may do.
    role: Role,
    /// The tenant that this is about, for the roles of tenants.
    tenant: Option<String>,
    /// From when on it is refused, as in RFC 3339; absent for never.
    expires: Option<String>,
}

/// How a key is replaced.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AdminKeyRotation)]
pub(crate) struct Rotation {
    /// For how many seconds the former key still opens what it did.
    #[serde(default)]
    #[schema(maximum = 604800)]
    overlap_s: u32,
    /// From when on the new key is refused, as in RFC 3339; absent: as long after now as the former one after it was made.
    expires: Option<String>,
}

/// The answer to a key that was made.
type Made = (StatusCode, [(HeaderName, HeaderValue); 2], Json<MadeAdminKey>);

/// The admin keys that you may manage, oldest first: all, or those of your tenants.
#[utoipa::path(get, path = "/admin-keys", operation_id = "list_admin_keys", tag = "admin keys", params(Filter),
    responses((status = 200, description = "A page of them.", body = Page<AdminKey>)))]
pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<AdminKey>>, Problem> {
    admin.may_change_something()?;
    let Filter { tenant, state, limit, cursor } = filter;
    let now_ms = now_ms();
    let mut rows = desk.store().admin_key_list().await?;
    rows.retain(|row| {
        admin.covers(need(&row.grant))
            && tenant.as_ref().is_none_or(|tenant| row.grant.tenant().is_some_and(|of| of.as_str() == tenant))
            && state.is_none_or(|state| AdminKey::of(row, now_ms).state == state)
    });
    let place = |row: &AdminKeyRow| format!("{:020} {}", row.created_ms, row.id);
    rows.sort_by_cached_key(place);
    let Page { items, next } = PageQuery { limit, cursor }.cut(rows, place)?;
    Ok(Json(Page { items: items.iter().map(|row| AdminKey::of(row, now_ms)).collect(), next }))
}

/// Makes an admin key and shows it this once.
#[utoipa::path(post, path = "/admin-keys", operation_id = "create_admin_key", tag = "admin keys", request_body = NewKey,
    responses(
        (status = 201, description = "It is made.", body = MadeAdminKey,
            headers(("ETag" = String, description = "Its state."), ("Location" = String, description = "Where it is."))),
        (status = 404, description = "The tenant of the role is none that you may see.")))]
pub(super) async fn create(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Body(new): Body<NewKey>,
) -> Result<Made, Problem> {
    admin.may_change_something()?;
    let now_ms = now_ms();
    let (grant, expires_ms) = new.check(now_ms)?;
    let pass = admin.may(need(&grant))?;
    let rows = desk.store().admin_key_list().await?;
    let alike = |row: &&AdminKeyRow| row.is_active(now_ms) && row.grant.tenant() == grant.tenant();
    if rows.iter().filter(alike).count() >= ADMIN_KEYS_ACTIVE_MAX {
        let told = format!("there are {ADMIN_KEYS_ACTIVE_MAX} such keys that open something: revoke some first");
        return Err(Problem::conflict(told));
    }
    let key = NewAdminKey::generate(new.label, grant, now_ms, expires_ms);
    let note = pass.note(format!("made the admin key {}", named(&key.row)));
    match desk.store().admin_key_create(&key.row, &note).await {
        Ok(()) => Ok(made(&key, now_ms)),
        Err(StoreError::NotFound(_)) => {
            Err(Problem::invalid(vec![wrong("/tenant", "there is no tenant of this name")]))
        }
        Err(error) => Err(error.into()),
    }
}

/// One admin key.
#[utoipa::path(get, path = "/admin-keys/{id}", operation_id = "show_admin_key", tag = "admin keys", params(("id" = String, Path, description = "Its id.")),
    responses((status = 200, description = "It.", body = AdminKey, headers(("ETag" = String, description = "Its state.")))))]
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(id): Path<String>,
) -> Result<([(HeaderName, HeaderValue); 1], Json<AdminKey>), Problem> {
    let (row, _) = find(&desk, &admin, &id).await?;
    let shown = AdminKey::of(&row, now_ms());
    Ok(([shown.tag().header()], Json(shown)))
}

/// Revokes an admin key: it is refused from now on, on all replicas. It stays in the list.
#[utoipa::path(delete, path = "/admin-keys/{id}", operation_id = "revoke_admin_key", tag = "admin keys",
    params(("id" = String, Path, description = "Its id."), ("If-Match" = String, Header, description = "Its ETag, or `*`.")),
    responses(
        (status = 204, description = "It is revoked."),
        (status = 409, description = "It is the last admin key of the platform, and you use it.")))]
pub(super) async fn revoke(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(id): Path<String>,
    condition: Condition,
) -> Result<StatusCode, Problem> {
    let (row, pass) = find(&desk, &admin, &id).await?;
    let now_ms = now_ms();
    condition.change(&AdminKey::of(&row, now_ms).tag())?;
    let is_own = matches!(admin.actor(), Actor::AdminKey(own) if *own == row.id);
    if is_own && row.grant == Grant::PlatformAdmin && is_last(&desk, &row, now_ms).await? {
        return Err(Problem::conflict(
            "this is the last admin key of the platform, and you use it: make another one first, and revoke this one with that",
        ));
    }
    let note = pass.note(format!("revoked the admin key {}", named(&row)));
    // When somebody else has just revoked it, it is as it was asked for.
    desk.store().admin_key_revoke(row.id, now_ms, &note).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a key in the place of another, with the same label and role, and shows it this once.
#[utoipa::path(post, path = "/admin-keys/{id}/rotate", operation_id = "rotate_admin_key", tag = "admin keys", request_body = Rotation,
    params(("id" = String, Path, description = "The id of the former key.")),
    responses((status = 201, description = "The new one is made.", body = MadeAdminKey,
        headers(("ETag" = String, description = "Its state."), ("Location" = String, description = "Where it is.")))))]
pub(super) async fn rotate(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(id): Path<String>,
    Body(rotation): Body<Rotation>,
) -> Result<Made, Problem> {
    let (former, pass) = find(&desk, &admin, &id).await?;
    let now_ms = now_ms();
    let (until_ms, expires_ms) = rotation.check(&former, now_ms)?;
    if !former.is_active(now_ms) {
        return Err(over());
    }
    let key = NewAdminKey::generate(former.label.clone(), former.grant.clone(), now_ms, expires_ms);
    let note = pass.note(format!("made the admin key {} in the place of {}", named(&key.row), former.id));
    if desk.store().admin_key_rotate(former.id, &key.row, until_ms, &note).await? {
        Ok(made(&key, now_ms))
    } else {
        Err(over())
    }
}

fn over() -> Problem {
    Problem::conflict("this key opens nothing any more: make a new one instead")
}

impl NewKey {
    /// What it may do, and until when.
    fn check(&self, now_ms: i64) -> Result<(Grant, Option<i64>), Problem> {
        let mut errors = Vec::new();
        let chars = self.label.chars().count();
        if !(1..=LABEL_CHARS_MAX).contains(&chars)
            || self.label.trim() != self.label
            || self.label.contains(char::is_control)
        {
            errors.push(wrong(
                "/label",
                format!("expected 1 to {LABEL_CHARS_MAX} characters, without spaces around them"),
            ));
        }
        let expires = self.expires.as_ref().map(|text| when::future(text, "/expires", now_ms));
        let expires_ms = expires.transpose().unwrap_or_else(|error| {
            errors.push(error);
            None
        });
        match self.grant() {
            Ok(grant) if errors.is_empty() => return Ok((grant, expires_ms)),
            Ok(_) => {}
            Err(error) => errors.push(error),
        }
        Err(Problem::invalid(errors))
    }

    fn grant(&self) -> Result<Grant, FieldError> {
        let tenant: Option<Slug> = self
            .tenant
            .as_ref()
            .map(|text| text.parse())
            .transpose()
            .map_err(|error| wrong("/tenant", format!("{error}")))?;
        match (self.role, tenant) {
            (Role::PlatformAdmin, None) => Ok(Grant::PlatformAdmin),
            (Role::TenantAdmin, Some(tenant)) => Ok(Grant::TenantAdmin { tenant }),
            (Role::TenantViewer, Some(tenant)) => Ok(Grant::TenantViewer { tenant }),
            (Role::PlatformAdmin, Some(_)) => Err(wrong("/tenant", "a platform_admin is of no tenant: leave it out")),
            (Role::TenantAdmin | Role::TenantViewer, None) => {
                Err(wrong("/tenant", "expected the tenant that the role is about"))
            }
        }
    }
}

impl Rotation {
    /// Until when the former key goes on, and the new one.
    fn check(&self, former: &AdminKeyRow, now_ms: i64) -> Result<(i64, Option<i64>), Problem> {
        let mut errors = Vec::new();
        if self.overlap_s > OVERLAP_S_MAX {
            errors.push(wrong("/overlap_s", format!("expected at most {OVERLAP_S_MAX} seconds")));
        }
        let expires_ms = match &self.expires {
            Some(text) => when::future(text, "/expires", now_ms).map(Some),
            None => Ok(former.expires_ms.map(|at_ms| now_ms + (at_ms - former.created_ms).max(1))),
        };
        match expires_ms {
            Ok(expires_ms) if errors.is_empty() => Ok((now_ms + i64::from(self.overlap_s) * 1000, expires_ms)),
            Ok(_) => Err(Problem::invalid(errors)),
            Err(error) => {
                errors.push(error);
                Err(Problem::invalid(errors))
            }
        }
    }
}

fn wrong(pointer: &str, detail: impl Into<String>) -> FieldError {
    FieldError { pointer: pointer.to_owned(), detail: detail.into() }
}

/// What somebody needs who manages a key of this grant.
const fn need(grant: &Grant) -> Need<'_> {
    match grant.tenant() {
        None => Need::Platform,
        Some(tenant) => Need::Change(tenant),
    }
}

/// The key of that id, and that it may be managed. Keys of others are not there.
async fn find(desk: &Desk, admin: &Admin, id: &str) -> Result<(AdminKeyRow, Pass), Problem> {
    admin.may_change_something()?;
    let id: KeyId = id.parse().map_err(|_| Problem::not_found())?;
    let rows = desk.store().admin_key_list().await?;
    let row = rows.into_iter().find(|row| row.id == id).ok_or_else(Problem::not_found)?;
    // Whoever may only see the tenant is told the same as a stranger: keys are nobody else's to know of.
    let pass = admin.may(need(&row.grant)).map_err(|_| Problem::not_found())?;
    Ok((row, pass))
}

async fn is_last(desk: &Desk, row: &AdminKeyRow, now_ms: i64) -> Result<bool, Problem> {
    let rows = desk.store().admin_key_list().await?;
    let other =
        |other: &AdminKeyRow| other.id != row.id && other.grant == Grant::PlatformAdmin && other.is_active(now_ms);
    Ok(!rows.iter().any(other))
}

/// A key in the words of the audit.
fn named(row: &AdminKeyRow) -> String {
    let of = row.grant.tenant().map(|tenant| format!(" of {tenant}")).unwrap_or_default();
    format!("{} ({}, {}{of})", row.id, row.shown, row.grant.role())
}

fn made(key: &NewAdminKey, now_ms: i64) -> Made {
    let about = AdminKey::of(&key.row, now_ms);
    let at = HeaderValue::try_from(format!("{ROOT}/admin-keys/{}", about.id)).expect("an id has hexadecimal digits");
    let headers = [about.tag().header(), (header::LOCATION, at)];
    (StatusCode::CREATED, headers, Json(MadeAdminKey { key: key.secret.expose_secret().to_owned(), about }))
}

#[cfg(test)]
mod tests;
