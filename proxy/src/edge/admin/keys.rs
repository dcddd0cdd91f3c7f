//! API keys of a tenant: made, listed, replaced, revoked. A key itself is in one answer, when it is made, and nowhere else. What
//! requests with a key may do is [`crate::auth`]'s.

use std::{collections::BTreeSet, sync::Arc};

use axum::{Json, extract::State};
use http::{HeaderName, HeaderValue, StatusCode, header};
use patchbay_core::{
    KeyId, Slug,
    admin::Need,
    model::{KeyRow, TenantRow},
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    ROOT,
    desk::Desk,
    input::{Body, NoQuery, Path, Query, name},
    page::{Page, PageQuery},
    problem::{FieldError, Problem},
    tag::{Condition, Tag},
    when,
    who::Admin,
};
use crate::{audit::now_ms, auth::NewKey, ledger::keeping::DAY_MS};

/// Keys of one tenant that open something at once; each is in the memory of every gateway.
const API_KEYS_ACTIVE_MAX: usize = 10_000;
/// The longest label of a key, in characters.
const LABEL_CHARS_MAX: usize = 100;
/// The longest time that a key goes on after it was replaced, in seconds.
const OVERLAP_S_MAX: u32 = 30 * 24 * 3600;
/// The most days after which a key is refused.
const EXPIRES_DAYS_MAX: u32 = 3650;

/// Whether a key opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ApiKeyState {
    /// It does.
    Active,
    /// Its time is over.
    Expired,
    /// Somebody revoked it.
    Revoked,
}

/// An API key, without the key.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ApiKey {
    /// The row.
    id: String,
    /// What people call it.
    label: String,
    /// The beginning of the key, to recognise it by.
    shown: String,
    /// The toolsets that it opens; absent for all of the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    toolsets: Option<Vec<String>>,
    /// Whether it opens anything.
    state: ApiKeyState,
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
    /// When it was last used, or a little before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    used: Option<String>,
}

/// An API key that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct MadeApiKey {
    /// The key itself. This is the only time that it is shown.
    key: String,
    #[serde(flatten)]
    about: ApiKey,
}

/// Which keys, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    /// Only those in this state.
    #[param(inline)]
    state: Option<ApiKeyState>,
    /// Items at the most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
}

/// An API key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewApiKey {
    /// What people call it.
    #[schema(min_length = 1, max_length = 100)]
    label: String,
    /// The toolsets that it opens; absent for all of the tenant, those of later too.
    #[schema(min_items = 1)]
    toolsets: Option<Vec<String>>,
    /// From when on it is refused, as in RFC 3339; absent for never.
    expires: Option<String>,
    /// The same as a number of days from now.
    #[schema(minimum = 1, maximum = 3650)]
    expires_days: Option<u32>,
}

/// How a key is replaced.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiKeyRotation {
    /// For how many seconds the former key still opens what it did.
    #[serde(default)]
    #[schema(maximum = 2592000)]
    overlap_s: u32,
    /// From when on the new key is refused, as in RFC 3339; absent: as long after now as the former one after it was made.
    expires: Option<String>,
    /// The same as a number of days from now.
    #[schema(minimum = 1, maximum = 3650)]
    expires_days: Option<u32>,
}

/// The answer to a key that was made.
type Made = (StatusCode, [(HeaderName, HeaderValue); 2], Json<MadeApiKey>);

impl ApiKey {
    fn of(row: &KeyRow, now_ms: i64) -> Self {
        Self {
            id: row.id.to_string(),
            label: row.label.clone(),
            shown: row.shown.clone(),
            toolsets: row.toolsets.as_ref().map(|open| open.iter().map(Slug::to_string).collect()),
            state: ApiKeyState::of(row, now_ms),
            created: when::shown(row.created_ms),
            expires: row.expires_ms.map(when::shown),
            revoked: row.revoked_ms.map(when::shown),
            used: row.used_ms.map(when::shown),
        }
    }

    /// That it was used is no other state of it: else nobody could revoke what they saw a minute ago.
    fn tag(&self) -> Tag {
        Tag::of(&Self { used: None, ..self.clone() })
    }
}

impl ApiKeyState {
    fn of(row: &KeyRow, now_ms: i64) -> Self {
        match row {
            KeyRow { revoked_ms: Some(_), .. } => Self::Revoked,
            KeyRow { expires_ms: Some(at_ms), .. } if *at_ms <= now_ms => Self::Expired,
            _ => Self::Active,
        }
    }
}

/// The API keys of a tenant, oldest first.
#[utoipa::path(get, path = "/tenants/{tenant}/keys", operation_id = "list_api_keys", tag = "API keys",
    params(("tenant" = String, Path, description = "The tenant's name."), Filter),
    responses((status = 200, description = "A page of them.", body = Page<ApiKey>)))]
pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<ApiKey>>, Problem> {
    let tenant = name(&tenant)?;
    admin.may(Need::See(&tenant))?;
    let Filter { state, limit, cursor } = filter;
    let now_ms = now_ms();
    let mut rows = desk.store().key_list(desk.tenant(&tenant).await?.id).await?;
    rows.retain(|row| state.is_none_or(|state| ApiKeyState::of(row, now_ms) == state));
    let place = |row: &KeyRow| format!("{:020} {}", row.created_ms, row.id);
    rows.sort_by_cached_key(place);
    let Page { items, next } = PageQuery { limit, cursor }.cut(rows, place)?;
    Ok(Json(Page { items: items.iter().map(|row| ApiKey::of(row, now_ms)).collect(), next }))
}

/// Makes an API key and shows it this once.
#[utoipa::path(post, path = "/tenants/{tenant}/keys", operation_id = "create_api_key", tag = "API keys", request_body = NewApiKey,
    params(("tenant" = String, Path, description = "The tenant's name.")),
    responses((status = 201, description = "It is made.", body = MadeApiKey,
        headers(("ETag" = String, description = "Its state."), ("Location" = String, description = "Where it is.")))))]
pub(super) async fn create(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    _: NoQuery,
    Body(new): Body<NewApiKey>,
) -> Result<Made, Problem> {
    let tenant = name(&tenant)?;
    let pass = admin.may(Need::Change(&tenant))?;
    let row = desk.tenant(&tenant).await?;
    let now_ms = now_ms();
    let (toolsets, expires_ms) = new.check(&row, now_ms)?;
    let rows = desk.store().key_list(row.id).await?;
    if rows.iter().filter(|row| ApiKeyState::of(row, now_ms) == ApiKeyState::Active).count() >= API_KEYS_ACTIVE_MAX {
        let told = format!("the tenant has {API_KEYS_ACTIVE_MAX} keys that open something: revoke some first");
        return Err(Problem::conflict(told));
    }
    let key = NewKey::generate(row.id, new.label, toolsets, now_ms, expires_ms);
    let note = pass.note(format!("made the key {} ({})", key.row.id, key.row.shown));
    desk.store().key_create(&key.row, &note).await?;
    Ok(made(&tenant, &key, now_ms))
}

/// One API key.
#[utoipa::path(get, path = "/tenants/{tenant}/keys/{key}", operation_id = "show_api_key", tag = "API keys",
    params(("tenant" = String, Path, description = "The tenant's name."), ("key" = String, Path, description = "The key's id.")),
    responses((status = 200, description = "It.", body = ApiKey, headers(("ETag" = String, description = "Its state.")))))]
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path((tenant, id)): Path<(String, String)>,
    _: NoQuery,
) -> Result<([(HeaderName, HeaderValue); 1], Json<ApiKey>), Problem> {
    let tenant = name(&tenant)?;
    admin.may(Need::See(&tenant))?;
    let shown = ApiKey::of(&find(&desk, &tenant, &id).await?, now_ms());
    Ok(([shown.tag().header()], Json(shown)))
}

/// Revokes an API key: it is refused from now on, on every gateway within a second. It stays in the list. One that was revoked
/// before is left as it is, whatever state the request names.
#[utoipa::path(delete, path = "/tenants/{tenant}/keys/{key}", operation_id = "revoke_api_key", tag = "API keys",
    params(("tenant" = String, Path, description = "The tenant's name."), ("key" = String, Path, description = "The key's id."),
        ("If-Match" = String, Header, description = "Its ETag, or `*`.")),
    responses((status = 204, description = "It is revoked.")))]
pub(super) async fn revoke(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path((tenant, id)): Path<(String, String)>,
    _: NoQuery,
    condition: Condition,
) -> Result<StatusCode, Problem> {
    let tenant = name(&tenant)?;
    let pass = admin.may(Need::Change(&tenant))?;
    let row = find(&desk, &tenant, &id).await?;
    let now_ms = now_ms();
    match condition.change(&ApiKey::of(&row, now_ms).tag()) {
        // Who asks again did not hear the first answer.
        Err(stale) if stale.status() == 412 && row.revoked_ms.is_some() => return Ok(StatusCode::NO_CONTENT),
        told => told?,
    }
    let note = pass.note(format!("revoked the key {} ({})", row.id, row.shown));
    desk.store().key_revoke(row.tenant, row.id, now_ms, &note).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes an API key in the place of another, with the same label and toolsets, and shows it this once. Both in one step: the former
/// one is revoked now, or goes on for as long as the request says.
#[utoipa::path(post, path = "/tenants/{tenant}/keys/{key}/rotate", operation_id = "rotate_api_key", tag = "API keys", request_body = ApiKeyRotation,
    params(("tenant" = String, Path, description = "The tenant's name."),
        ("key" = String, Path, description = "The id of the former key.")),
    responses((status = 201, description = "The new one is made.", body = MadeApiKey,
        headers(("ETag" = String, description = "Its state."), ("Location" = String, description = "Where it is.")))))]
pub(super) async fn rotate(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path((tenant, id)): Path<(String, String)>,
    _: NoQuery,
    Body(rotation): Body<ApiKeyRotation>,
) -> Result<Made, Problem> {
    let tenant = name(&tenant)?;
    let pass = admin.may(Need::Change(&tenant))?;
    let former = find(&desk, &tenant, &id).await?;
    let now_ms = now_ms();
    let (until_ms, expires_ms) = rotation.check(&former, now_ms)?;
    let key = NewKey::generate(former.tenant, former.label.clone(), former.toolsets.clone(), now_ms, expires_ms);
    let note = pass.note(format!("made the key {} ({}) in the place of {}", key.row.id, key.row.shown, former.id));
    if desk.store().key_rotate(former.id, &key.row, until_ms, &note).await? {
        Ok(made(&tenant, &key, now_ms))
    } else {
        Err(Problem::conflict("this key opens nothing any more: make a new one instead"))
    }
}

/// The key of that id, of this tenant.
async fn find(desk: &Desk, tenant: &Slug, id: &str) -> Result<KeyRow, Problem> {
    let id: KeyId = id.parse().map_err(|_| Problem::not_found())?;
    let rows = desk.store().key_list(desk.tenant(tenant).await?.id).await?;
    rows.into_iter().find(|row| row.id == id).ok_or_else(Problem::not_found)
}

fn made(tenant: &Slug, key: &NewKey, now_ms: i64) -> Made {
    let about = ApiKey::of(&key.row, now_ms);
    let place = format!("{ROOT}/tenants/{tenant}/keys/{}", about.id);
    let place = HeaderValue::try_from(place).expect("names and ids are ASCII");
    let headers = [about.tag().header(), (header::LOCATION, place)];
    (StatusCode::CREATED, headers, Json(MadeApiKey { key: key.secret.expose_secret().to_owned(), about }))
}

impl NewApiKey {
    /// What it opens, and until when.
    fn check(&self, tenant: &TenantRow, now_ms: i64) -> Result<(Option<Vec<Slug>>, Option<i64>), Problem> {
        let mut errors = Vec::new();
        let chars = self.label.chars().count();
        let is_odd = self.label.trim() != self.label || self.label.contains(char::is_control);
        if !(1..=LABEL_CHARS_MAX).contains(&chars) || is_odd {
            let expected = format!("expected 1 to {LABEL_CHARS_MAX} characters, without spaces around them");
            errors.push(wrong("/label", expected));
        }
        let toolsets = self.toolsets.as_ref().map(|named| toolsets(named, tenant, &mut errors));
        let expires_ms = expires(self.expires.as_deref(), self.expires_days, now_ms, &mut errors);
        if errors.is_empty() { Ok((toolsets, expires_ms)) } else { Err(Problem::invalid(errors)) }
    }
}

/// The toolsets of these names.
fn toolsets(named: &[String], tenant: &TenantRow, errors: &mut Vec<FieldError>) -> Vec<Slug> {
    if named.is_empty() {
        errors.push(wrong("/toolsets", "expected one toolset at least: a key that opens all of them names none"));
    }
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for (number, name) in named.iter().enumerate() {
        let known = tenant.toolsets.iter().map(|(known, _)| known).find(|known| known.as_str() == name);
        match known {
            Some(known) if seen.insert(known) => found.push(known.clone()),
            Some(_) => errors.push(wrong(&format!("/toolsets/{number}"), "expected each toolset once")),
            None => {
                let detail = "expected the name of a toolset of this tenant";
                errors.push(wrong(&format!("/toolsets/{number}"), detail));
            }
        }
    }
    found
}

/// From when on a key is refused.
fn expires(at: Option<&str>, days: Option<u32>, now_ms: i64, errors: &mut Vec<FieldError>) -> Option<i64> {
    match (at, days) {
        (Some(_), Some(_)) => errors.push(wrong("/expires_days", "expected one of expires and expires_days")),
        (Some(at), None) => match when::future(at, "/expires", now_ms) {
            Ok(at_ms) => return Some(at_ms),
            Err(error) => errors.push(error),
        },
        (None, Some(days @ 1..=EXPIRES_DAYS_MAX)) => return Some(now_ms + i64::from(days) * DAY_MS),
        (None, Some(_)) => errors.push(wrong("/expires_days", format!("expected 1 to {EXPIRES_DAYS_MAX}"))),
        (None, None) => {}
    }
    None
}

impl ApiKeyRotation {
    /// When the former key ends, and when the new one.
    fn check(&self, former: &KeyRow, now_ms: i64) -> Result<(i64, Option<i64>), Problem> {
        let mut errors = Vec::new();
        if self.overlap_s > OVERLAP_S_MAX {
            errors.push(wrong("/overlap_s", format!("expected 0 to {OVERLAP_S_MAX}")));
        }
        let given_ms = expires(self.expires.as_deref(), self.expires_days, now_ms, &mut errors);
        let same_ms = former.expires_ms.map(|at_ms| now_ms.saturating_add((at_ms - former.created_ms).max(1)));
        if errors.is_empty() {
            Ok((now_ms + i64::from(self.overlap_s) * 1000, given_ms.or(same_ms)))
        } else {
            Err(Problem::invalid(errors))
        }
    }
}

/// What is wrong with a field.
pub(super) fn wrong(pointer: &str, detail: impl Into<String>) -> FieldError {
    FieldError { pointer: pointer.to_owned(), detail: detail.into() }
}

#[cfg(test)]
mod tests;
