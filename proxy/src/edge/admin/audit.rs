//! The audit, for those who may see it: records, [`verify`], [`export`]. Whose records they are is decided by the path and the role,
//! never by a filter; every look is itself a record, written before anything is shown. Reading them is [`crate::ledger`]'s.

pub(super) mod export;
pub(super) mod verify;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use patchbay_core::{TenantId, admin::Need, audit::Action};
use patchbay_store::{AuditFilter, AuditRow};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::error;
use utoipa::{IntoParams, ToSchema};

use super::{
    desk::Desk,
    input::{NoQuery, Path, Query, name},
    page::{Page, PageQuery, cursor},
    problem::Problem,
    who::{Admin, Pass},
};
use crate::{
    app::Keys,
    audit::now_ms,
    ledger::{lines::hex, query, span},
};

/// Exports and verifications that run at once in this process.
const AUDIT_READERS_MAX: usize = 4;
/// How long another one waits for its turn.
const AUDIT_TURN_WAIT_MAX: Duration = Duration::from_secs(5);

static READERS: Semaphore = Semaphore::const_new(AUDIT_READERS_MAX);

/// Tenants' records, or those of no tenant; `None` for all.
type Of = Option<Option<TenantId>>;

/// A record, as it was written: what it has is in the documentation of the audit.
#[derive(Debug, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub(crate) struct AuditRecord(Box<RawValue>);

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuditOutcome {
    /// The request was answered, be it with the error of a tool.
    Answered,
    /// The gateway refused it.
    Refused,
    /// Its client took it back or went away.
    Cancelled,
    /// The answer broke off.
    Broken,
    /// A server or the gateway failed.
    Failed,
    /// Nobody knows: the gateway ended before it did.
    Unknown,
}

/// Which records, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantQuery {
    /// Who did it: `key:ID`, `token:ISSUER:SUBJECT`, `admin_key:ID`, `operator`, `gateway`, `anonymous` or `unknown`; with a `*` at
    /// its end, all that begin so.
    actor: Option<String>,
    /// What was done: `tool.call`, `auth.fail`, `config.update`, …
    action: Option<String>,
    /// At which server.
    server: Option<String>,
    /// Which tool, prompt or URI, by the name that the client used.
    name: Option<String>,
    /// How it ended.
    #[param(inline)]
    outcome: Option<AuditOutcome>,
    /// That began at this time or later: as in RFC 3339, or an age such as `90m`, `24h` or `7d`.
    since: Option<String>,
    /// That began before this time.
    until: Option<String>,
    /// Items at the most. A page may have fewer although it has a `next`: each looks through 31 days at the most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
}

/// Which records of all tenants, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlatformQuery {
    /// Of this tenant.
    tenant: Option<String>,
    /// Of the tenant with this id, which may be deleted.
    tenant_id: Option<String>,
    /// Of no tenant: refused before anybody knew whose it was, and what the gateway did itself.
    no_tenant: Option<bool>,
    /// Who did it, as for one tenant.
    actor: Option<String>,
    /// What was done: `tool.call`, `auth.fail`, `config.update`, …
    action: Option<String>,
    /// At which server.
    server: Option<String>,
    /// Which tool, prompt or URI, by the name that the client used.
    name: Option<String>,
    /// How it ended.
    #[param(inline)]
    outcome: Option<AuditOutcome>,
    /// That began at this time or later: as in RFC 3339, or an age such as `90m`, `24h` or `7d`.
    since: Option<String>,
    /// That began before this time.
    until: Option<String>,
    /// Items at the most. A page may have fewer although it has a `next`: each looks through 31 days at the most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
}

/// The keys that sign the audit's checkpoints.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditKeys {
    /// The one that signs now, then those of former sealing keys.
    keys: Vec<AuditKey>,
}

/// A key that signs checkpoints.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditKey {
    /// `ed25519`.
    algorithm: &'static str,
    /// The public key, 64 hexadecimal digits.
    public_key: String,
}

/// The records of a tenant, newest first.
#[utoipa::path(get, path = "/tenants/{tenant}/audit", operation_id = "list_tenant_audit", tag = "audit",
    params(("tenant" = String, Path, description = "The tenant's name."), TenantQuery),
    responses((status = 200, description = "A page of them.", body = Page<AuditRecord>)))]
pub(super) async fn of_tenant(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    Query(query): Query<TenantQuery>,
) -> Result<Json<Page<AuditRecord>>, Problem> {
    let tenant = name(&tenant)?;
    let pass = admin.may(Need::See(&tenant))?;
    let of = Some(Some(desk.tenant(&tenant).await?.id));
    look(&desk, &pass, of, query).await
}

/// The records of all tenants and of none, newest first.
#[utoipa::path(get, path = "/audit", operation_id = "list_audit", tag = "audit", params(PlatformQuery),
    responses(
        (status = 200, description = "A page of them.", body = Page<AuditRecord>),
        (status = 404, description = "There is no tenant of the name in the query."),
        (status = 409, description = "The secrets of the tenant in the query cannot be opened.")))]
pub(super) async fn of_all(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Query(query): Query<PlatformQuery>,
) -> Result<Json<Page<AuditRecord>>, Problem> {
    let pass = admin.may(Need::Platform)?;
    let PlatformQuery { tenant, tenant_id, no_tenant, .. } = &query;
    let of = whose(&desk, tenant.as_deref(), tenant_id.as_deref(), *no_tenant).await?;
    let PlatformQuery { actor, action, server, name, outcome, since, until, limit, cursor, .. } = query;
    look(&desk, &pass, of, TenantQuery { actor, action, server, name, outcome, since, until, limit, cursor }).await
}

/// The public keys of the audit's checkpoints, by which an export is verified without the gateway.
#[utoipa::path(get, path = "/audit/public-keys", operation_id = "list_audit_keys", tag = "audit",
    responses((status = 200, description = "The keys.", body = AuditKeys)))]
pub(super) async fn public_keys(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    _: NoQuery,
) -> Result<Json<AuditKeys>, Problem> {
    // They are no secret: whoever may see anything may have them.
    if admin.grants().is_empty() {
        return Err(Problem::forbidden("this needs any role"));
    }
    let keys = publics(&desk)?;
    let shown = |public: &[u8; 32]| AuditKey { algorithm: "ed25519", public_key: hex(public) };
    Ok(Json(AuditKeys { keys: keys.iter().map(shown).collect() }))
}

/// Whose records a platform admin asks for.
async fn whose(
    desk: &Desk,
    tenant: Option<&str>,
    tenant_id: Option<&str>,
    no_tenant: Option<bool>,
) -> Result<Of, Problem> {
    match (tenant, tenant_id, no_tenant.unwrap_or(false)) {
        (None, None, false) => Ok(None),
        (None, None, true) => Ok(Some(None)),
        (Some(tenant), None, false) => Ok(Some(Some(desk.tenant(&name(tenant)?).await?.id))),
        (None, Some(id), false) => {
            let id = id.parse().map_err(|_| Problem::bad_request("tenant_id: expected the id of a tenant"))?;
            Ok(Some(Some(id)))
        }
        _ => Err(Problem::bad_request("expected one of tenant, tenant_id and no_tenant")),
    }
}

async fn look(desk: &Desk, pass: &Pass, of: Of, query: TenantQuery) -> Result<Json<Page<AuditRecord>>, Problem> {
    let (filter, limit) = query.filter(of)?;
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let query::Page { rows, next } = query::page(desk.store(), &filter, limit, now_ms()).await?;
    let note = pass.note(asked(&filter, rows.len()));
    desk.store().audit_note(of.flatten(), Action::AuditQuery, &note).await?;
    let items = rows.iter().map(AuditRecord::of).collect();
    Ok(Json(Page { items, next: next.map(|event| cursor(&format!("{event:032x}"))) }))
}

impl AuditRecord {
    /// The record byte for byte. One that is no JSON, since somebody has changed it, is shown as a text.
    fn of(row: &AuditRow) -> Self {
        let text = |_| to_raw_value(&row.json).expect("a text has a JSON form");
        Self(serde_json::from_str(&row.json).unwrap_or_else(text))
    }
}

impl TenantQuery {
    /// As the store asks for it, and how many.
    fn filter(self, of: Of) -> Result<(AuditFilter, usize), Problem> {
        let Self { actor, action, server, name, outcome, since, until, limit, cursor } = self;
        let page = PageQuery { limit, cursor };
        let before = page.after()?.map(|key| u128::from_str_radix(&key, 16)).transpose();
        let before =
            before.map_err(|_| Problem::bad_request("cursor: expected `next` of an earlier page, unchanged"))?;
        let filter = AuditFilter {
            tenant: of,
            from_ms: moment("since", since.as_deref())?,
            to_ms: moment("until", until.as_deref())?,
            kind: action,
            actor,
            server,
            name,
            outcome: outcome.map(|outcome| outcome.word().to_owned()),
            before,
        };
        Ok((filter, page.limit()?))
    }
}

impl AuditOutcome {
    const fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::Broken => "broken",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// What was asked for, in a few words.
fn asked(filter: &AuditFilter, found: usize) -> String {
    let AuditFilter { kind, actor, server, name, outcome, .. } = filter;
    let texts = [("action", kind), ("actor", actor), ("server", server), ("name", name), ("outcome", outcome)];
    let mut words = format!("read {found} records of the audit");
    for (name, text) in texts {
        if let Some(text) = text {
            words.push_str(&format!(", {name} {text}"));
        }
    }
    words
}

fn moment(parameter: &str, text: Option<&str>) -> Result<Option<i64>, Problem> {
    text.map(span::moment).transpose().map_err(|told| Problem::bad_request(format!("{parameter}: {told}")))
}

/// The keys of the checkpoints: those of the gateway, or of the configuration where none runs.
fn publics(desk: &Desk) -> Result<Vec<[u8; 32]>, Problem> {
    if let Ok(app) = desk.live() {
        return Ok(app.signer.publics().to_vec());
    }
    let signer = Keys::of(desk.config()).and_then(|keys| keys.signer());
    signer.map(|signer| signer.publics().to_vec()).map_err(|told| {
        error!(error = format!("{told:#}"), "the keys of the audit cannot be made");
        Problem::internal()
    })
}

/// A turn to read a lot of the audit.
async fn turn() -> Result<SemaphorePermit<'static>, Problem> {
    let turn = tokio::time::timeout(AUDIT_TURN_WAIT_MAX, READERS.acquire()).await;
    turn.ok().and_then(Result::ok).ok_or_else(|| {
        Problem::busy(format!("{AUDIT_READERS_MAX} exports or verifications of the audit run now: try again later"))
    })
}
