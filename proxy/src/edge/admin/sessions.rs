//! Legacy sessions of a tenant that this replica has met, the end of one on all replicas, and what runs now.

use std::{collections::HashSet, sync::Arc};

use axum::{Json, extract::State};
use http::StatusCode;
use patchbay_core::{
    Slug, TenantId,
    admin::Need,
    audit::{Action, Actor},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    desk::Desk,
    here::Here,
    input::{Path, Query, name},
    page::{Page, PageQuery},
    problem::Problem,
    when,
    who::Admin,
};
use crate::{audit::now_ms, edge::session::seen::Met, ledger::lines::hex};

/// A legacy session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Session {
    /// Names it here; it opens nothing.
    id: String,
    /// Who opened it.
    principal: Principal,
    /// The revision that was agreed on.
    revision: &'static str,
    /// When it was opened.
    #[schema(format = DateTime)]
    began: String,
    /// When it was last used at this replica.
    #[schema(format = DateTime)]
    last_used: String,
    /// When it ends by itself.
    #[schema(format = DateTime)]
    expires: String,
}

/// Who opened a session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Principal {
    /// `key`, `token` or `anonymous`.
    kind: &'static str,
    /// The id of the API key.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The issuer's name in the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    /// Who it is, as the issuer knows them.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
}

/// A page of sessions that one replica has met.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sessions {
    /// The replica whose view this is. Sessions that only others have met are not in it.
    replica: String,
    /// How many it knows of this tenant, whatever is filtered. It remembers 100,000 of all tenants.
    count: usize,
    /// The page, by ids.
    #[serde(flatten)]
    page: Page<Session>,
}

/// Which sessions, and which page.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Only those of this principal: the id of an API key, or `issuer:subject`.
    principal: Option<String>,
    /// Sessions at the most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
}

/// The open legacy sessions of a tenant that the replica which answers has met. Modern clients have none.
#[utoipa::path(get, path = "/tenants/{tenant}/sessions", operation_id = "list_sessions", tag = "sessions",
    params(("tenant" = String, Path, description = "The tenant's name."), Wanted),
    responses((status = 200, description = "A page of them.", body = Sessions)))]
pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Sessions>, Problem> {
    let here = Here::see(&desk, &admin, &tenant).await?;
    let met = here.app.sessions.seen(here.state.snapshot.tenant, now_ms());
    let count = met.len();
    let sessions = met.iter().map(|(id, met)| Session::of(id, met));
    let sessions = sessions.filter(|session| wanted.principal.as_ref().is_none_or(|who| session.principal.is(who)));
    let page = PageQuery { limit: wanted.limit, cursor: wanted.cursor.clone() };
    let page = page.cut(sessions, |session| session.id.clone())?;
    Ok(Json(Sessions { replica: here.app.replica.id.clone(), count, page }))
}

/// Ends a session on all replicas, whichever of them opened it: its client is told that it is gone, and opens another. An id that is
/// none of the tenant's ends nothing.
#[utoipa::path(delete, path = "/tenants/{tenant}/sessions/{session}", operation_id = "end_session", tag = "sessions",
    params(("tenant" = String, Path, description = "The tenant's name."), ("session" = String, Path, description = "The session's id.")),
    responses((status = 204, description = "It opens nothing any more.")))]
pub(super) async fn end(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path((tenant, session)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let tenant = name(&tenant)?;
    let pass = admin.may(Need::Change(&tenant))?;
    let id = id_of(&session).ok_or_else(Problem::not_found)?;
    let (row, now_ms) = (tenant_id(&desk, &tenant).await?, now_ms());
    let (tombstone, expires_ms) = match desk.live() {
        Ok(app) if !app.sessions.has_room() => return Err(Problem::away("too many ended sessions are remembered")),
        Ok(app) => app.sessions.tombstone_of(id, now_ms),
        Err(_) => {
            let life_ms = i64::try_from(desk.config().limits.session.as_millis()).unwrap_or(i64::MAX);
            (crate::edge::session::tombstone(id), now_ms.saturating_add(life_ms))
        }
    };
    let note = pass.note(format!("ended the session {session} of {tenant}"));
    desk.store().audit_note(Some(row), Action::SessionEnd, &note).await?;
    desk.store().tombstone_put(row, tombstone, expires_ms).await?;
    if let Ok(app) = desk.live() {
        app.session_ended(row, tombstone, expires_ms);
        app.hub.wishes.erase(row, id);
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn tenant_id(desk: &Desk, tenant: &Slug) -> Result<TenantId, Problem> {
    let state = desk.live().ok().and_then(|app| app.tenants.state(tenant.as_str()));
    match state {
        Some(state) => Ok(state.snapshot.tenant),
        None => Ok(desk.tenant(tenant).await?.id),
    }
}

/// The id in a path: 32 hexadecimal digits, as it is shown.
fn id_of(text: &str) -> Option<[u8; 16]> {
    let is_shown = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let bits = is_shown.then(|| u128::from_str_radix(text, 16).ok())??;
    Some(bits.to_be_bytes())
}

impl Session {
    fn of(id: &[u8; 16], met: &Met) -> Self {
        let at = |seconds: u32| when::shown(i64::from(seconds) * 1000);
        Self {
            id: hex(id),
            principal: Principal::of(&met.actor()),
            revision: met.version.as_str(),
            began: at(met.began_s),
            last_used: at(met.used_s),
            expires: at(met.expires_s),
        }
    }
}

impl Principal {
    fn of(actor: &Actor) -> Self {
        let plain = |kind| Self { kind, key: None, issuer: None, subject: None };
        match actor {
            Actor::Key(id) => Self { key: Some(id.to_string()), ..plain("key") },
            Actor::Token(who) => {
                Self { issuer: Some(who.issuer.to_string()), subject: Some(who.subject.to_string()), ..plain("token") }
            }
            _ => plain("anonymous"),
        }
    }

    fn is(&self, wanted: &str) -> bool {
        match (&self.key, &self.issuer, &self.subject) {
            (Some(key), ..) => key == wanted,
            (None, Some(issuer), Some(subject)) => {
                wanted.split_once(':').is_some_and(|(wants, who)| wants == issuer && who == subject)
            }
            _ => wanted == self.kind,
        }
    }
}

/// What runs for a tenant now, at one replica.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Streams {
    /// The replica whose view this is.
    replica: String,
    /// Calls that run at servers.
    running: u64,
    /// Calls that wait for their turn.
    waiting: u64,
    /// Of the running ones, those of legacy sessions that this replica has met.
    legacy_calls: usize,
    /// Questions of servers that wait for a client's answer.
    questions: usize,
    /// Servers with calls or sessions, by their names.
    servers: Vec<AtServer>,
}

/// What runs at a server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AtServer {
    /// Its name.
    server: String,
    /// Calls that run.
    running: u32,
    /// Calls that wait for their turn.
    waiting: u32,
    /// Legacy sessions that are open with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<u32>,
}

/// The calls of a tenant that run now at the replica that answers.
#[utoipa::path(get, path = "/tenants/{tenant}/streams", operation_id = "show_streams", tag = "sessions",
    params(("tenant" = String, Path, description = "The tenant's name.")),
    responses((status = 200, description = "What runs now.", body = Streams)))]
pub(super) async fn streams(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
) -> Result<Json<Streams>, Problem> {
    let here = Here::see(&desk, &admin, &tenant).await?;
    let id = here.state.snapshot.tenant;
    let sessions: HashSet<[u8; 16]> = here.app.sessions.seen(id, now_ms()).into_iter().map(|(id, _)| id).collect();
    let loads: Vec<_> = here.state.servers.iter().map(|handle| (handle, handle.downstream.load())).collect();
    let busy = loads.iter().filter(|(_, load)| load.in_flight + load.waiting + load.sessions.unwrap_or(0) > 0);
    let servers = busy.map(|(handle, load)| AtServer {
        server: handle.slug.to_string(),
        running: load.in_flight,
        waiting: load.waiting,
        sessions: load.sessions,
    });
    Ok(Json(Streams {
        replica: here.app.replica.id.clone(),
        running: loads.iter().map(|(_, load)| u64::from(load.in_flight)).sum(),
        waiting: loads.iter().map(|(_, load)| u64::from(load.waiting)).sum(),
        legacy_calls: here.app.calls.count(|session| sessions.contains(session)),
        questions: here.app.questions.count(id),
        servers: servers.collect(),
    }))
}
