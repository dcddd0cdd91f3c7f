//! How a tenant's servers are, as this replica sees them: state, last fault, when it is tried again, what children wrote to their
//! standard error. Secrets of the server are taken out of every text by their values.

use std::sync::Arc;

use axum::{Json, extract::State};
use patchbay_core::{era::Era, json, model::ServerRow, snapshot::ServerKind};
use patchbay_downstream::{Health, HealthState, Load};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    desk::Desk,
    here::{Here, Local, age_s},
    input::{Path, Query, name},
    page::PageQuery,
    problem::Problem,
    when,
    who::Admin,
};
use crate::{
    audit::now_ms,
    control::stored::{STALE_MS_MAX, Stored},
    tenancy::ServerHandle,
};

/// Lines of the standard error that are shown, the last ones.
const STDERR_LINES_MAX: usize = 100;
/// Characters of a text of the server that are shown.
const TEXT_CHARS_MAX: usize = 2000;

/// How a server is, as one replica sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ServerHealth {
    /// Its name.
    server: String,
    /// How it is reached: `builtin`, `stdio` or `http`.
    kind: &'static str,
    /// `up`: it answers; `idle`: nobody asked yet, or it was stopped since nobody did; `down`: it failed of late; `closed`: it is
    /// let go; `off`: it is switched off.
    state: &'static str,
    /// The last fault, for a server that is not up.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    /// How often in a row it could not be asked for its lists.
    failures: u32,
    /// The last time that it could not be asked for its lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<LastFailure>,
    /// When it is tried again, for a server that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    next_retry: Option<String>,
    /// When it is asked for its lists again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    next_reading: Option<String>,
    /// Calls that run now.
    running: u32,
    /// Calls that wait for their turn.
    waiting: u32,
    /// Whether it failed so often that calls are refused until it is tried again.
    breaker_open: bool,
    /// Legacy sessions that are open with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<u32>,
    /// Its child processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    children: Option<Children>,
    /// What it said of itself when it was last heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    speaks: Option<Speaks>,
    /// What it offered then.
    #[serde(skip_serializing_if = "Option::is_none")]
    catalog: Option<CatalogAge>,
    /// What was odd about its lists when they were last read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    said: Vec<String>,
    /// The last lines that its children wrote to their standard error; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_tail: Option<Vec<String>>,
}

/// That a server could not be asked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LastFailure {
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// Why.
    detail: String,
}

/// Child processes of a server.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ServerChildren)]
pub(crate) struct Children {
    /// Those that run now.
    running: u32,
    /// Those that came up since the server was opened.
    starts: u64,
    /// Those that did not come up, or ended without being asked to.
    failures: u64,
}

/// What a server says of itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Speaks {
    /// `legacy` or `modern`.
    era: &'static str,
    /// The revision of the protocol.
    revision: &'static str,
    /// Its name for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

/// A catalog in numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CatalogAge {
    /// When it was read.
    #[schema(format = DateTime)]
    heard_at: String,
    /// Seconds since then.
    age_s: u64,
    /// Whether the server could not be asked since.
    stale: bool,
    /// Until when a stale catalog is served; the server's items are left out then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    served_until: Option<String>,
    /// Tools that it lists.
    tools: usize,
    /// Prompts that it lists.
    prompts: usize,
    /// Resources that it lists.
    resources: usize,
    /// Resource templates that it lists.
    templates: usize,
}

/// Which servers, and which page.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Only those in this state: `up`, `idle`, `down`, `closed` or `off`.
    state: Option<String>,
    /// Servers at the most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
}

/// How the servers of a tenant are, by their names, as the replica that answers sees them.
#[utoipa::path(get, path = "/tenants/{tenant}/health", operation_id = "list_health", tag = "health",
    params(("tenant" = String, Path, description = "The tenant's name."), Wanted),
    responses((status = 200, description = "A page of them.", body = Local<ServerHealth>)))]
pub(super) async fn list(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Local<ServerHealth>>, Problem> {
    let here = Here::see(&desk, &admin, &tenant).await?;
    let mut rows: Vec<_> = here.state.made.row.servers.iter().collect();
    rows.sort_by(|a, b| a.slug.cmp(&b.slug));
    let looked = rows.into_iter().map(|row| health(&here, row, false));
    let looked = looked.filter(|health| wanted.state.as_deref().is_none_or(|state| state == health.state));
    let page = PageQuery { limit: wanted.limit, cursor: wanted.cursor.clone() };
    Ok(Json(here.local(page.cut(looked, |health| health.server.clone())?)))
}

/// How one server is, as one replica sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LocalHealth {
    /// The replica whose view this is.
    replica: String,
    /// How it is.
    #[serde(flatten)]
    health: ServerHealth,
}

/// How a server is, as the replica that answers sees it.
#[utoipa::path(get, path = "/tenants/{tenant}/servers/{server}/health", operation_id = "show_server_health", tag = "health",
    params(("tenant" = String, Path, description = "The tenant's name."), ("server" = String, Path, description = "The server's name.")),
    responses((status = 200, description = "How it is now.", body = LocalHealth)))]
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path((tenant, server)): Path<(String, String)>,
) -> Result<Json<LocalHealth>, Problem> {
    let here = Here::see(&desk, &admin, &tenant).await?;
    let server = name(&server)?;
    let row = here.state.made.row.servers.iter().find(|row| row.slug == server).ok_or_else(Problem::not_found)?;
    Ok(Json(LocalHealth { replica: here.app.replica.id.clone(), health: health(&here, row, true) }))
}

fn health(here: &Here<'_>, row: &ServerRow, with_stderr: bool) -> ServerHealth {
    match here.server(&row.slug) {
        Some(handle) => of_handle(handle, now_ms(), with_stderr),
        None => ServerHealth::plain(row.slug.as_str(), ServerKind::of(&row.spec.transport), "off"),
    }
}

fn of_handle(handle: &ServerHandle, now_ms: i64, with_stderr: bool) -> ServerHealth {
    let Health { state, last_error, retry_in, stderr_tail, .. } = handle.downstream.health();
    let (load, inside): (Load, _) = (handle.downstream.load(), &handle.inside);
    let known = inside.known();
    let text = |text: &str| inside.masked(text).chars().take(TEXT_CHARS_MAX).collect::<String>();
    let in_ms = |wait: std::time::Duration| now_ms.saturating_add_unsigned(wait.as_millis() as u64);
    let has_failed = state == HealthState::Down || known.failures > 0;
    let next_retry = retry_in.map(in_ms).or(known.next_ms).filter(|_| has_failed);
    let from = stderr_tail.len().saturating_sub(STDERR_LINES_MAX);
    let is_child = inside.kind == ServerKind::Stdio;
    let last_failure = known.last_failure.as_ref();
    let last_error = last_error.as_deref().or_else(|| Some(&*last_failure?.why));
    ServerHealth {
        last_error: last_error.filter(|_| state != HealthState::Up || known.failures > 0).map(text),
        failures: known.failures,
        last_failure: last_failure
            .map(|failure| LastFailure { at: when::shown(failure.at_ms), detail: text(&failure.why) }),
        next_retry: next_retry.map(when::shown),
        next_reading: known.next_ms.map(when::shown),
        running: load.in_flight,
        waiting: load.waiting,
        breaker_open: load.breaker_open,
        sessions: load.sessions,
        children: load.children.map(|children| Children {
            running: children.running,
            starts: children.starts,
            failures: children.failures,
        }),
        speaks: known.part.as_ref().map(|part| speaks(part, text)),
        catalog: known.part.as_ref().map(|part| catalog_age(part, now_ms)),
        said: known.said,
        stderr_tail: (with_stderr && is_child).then(|| stderr_tail[from..].iter().map(|line| text(line)).collect()),
        ..ServerHealth::plain(handle.slug.as_str(), inside.kind, word(state))
    }
}

const fn word(state: HealthState) -> &'static str {
    match state {
        HealthState::Idle => "idle",
        HealthState::Up => "up",
        HealthState::Down => "down",
        HealthState::Closed => "closed",
    }
}

/// The word for how a server is reached.
pub(super) const fn kind_word(kind: ServerKind) -> &'static str {
    match kind {
        ServerKind::Builtin => "builtin",
        ServerKind::Stdio => "stdio",
        ServerKind::Http => "http",
    }
}

fn speaks(part: &Stored, text: impl Fn(&str) -> String) -> Speaks {
    let said = |member| {
        let raw = json::at_path(&part.hello.server_info, &[member])?;
        Some(text(&json::unquote(raw)?))
    };
    Speaks {
        era: match part.hello.era() {
            Era::Legacy => "legacy",
            Era::Modern => "modern",
        },
        revision: part.hello.version.as_str(),
        name: said("name"),
        version: said("version"),
    }
}

fn catalog_age(part: &Stored, now_ms: i64) -> CatalogAge {
    CatalogAge {
        heard_at: when::shown(part.at_ms),
        age_s: age_s(part.at_ms, now_ms),
        stale: part.stale,
        served_until: part.stale.then(|| when::shown(part.at_ms.saturating_add(STALE_MS_MAX))),
        tools: part.tools.len(),
        prompts: part.prompts.len(),
        resources: part.resources.len(),
        templates: part.templates.len(),
    }
}

impl ServerHealth {
    fn plain(server: &str, kind: ServerKind, state: &'static str) -> Self {
        Self {
            server: server.to_owned(),
            kind: kind_word(kind),
            state,
            last_error: None,
            failures: 0,
            last_failure: None,
            next_retry: None,
            next_reading: None,
            running: 0,
            waiting: 0,
            breaker_open: false,
            sessions: None,
            children: None,
            speaks: None,
            catalog: None,
            said: Vec::new(),
            stderr_tail: None,
        }
    }
}
