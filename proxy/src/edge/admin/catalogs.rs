//! What a server offers and what becomes of it in the toolsets: under which name it is shown, or why it is not. And asking a server
//! for its lists now.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{Json, extract::State};
use patchbay_core::{
    Slug,
    audit::Action,
    snapshot::{self, CatalogPart, Explained, ItemKind, LeftOut, Placed},
};
use serde::{Deserialize, Serialize};
use tokio::{sync::Semaphore, time::timeout};
use utoipa::{IntoParams, ToSchema};

use super::{
    desk::Desk,
    here::{Here, Local},
    input::{Path, Query, name},
    page::{Page, PageQuery},
    problem::Problem,
    when,
    who::Admin,
};
use crate::control::{inside::NotAsked, tenant::options};

/// How long an admin waits for a server to be asked.
const REFRESH_PATIENCE: Duration = Duration::from_secs(15);
/// Catalogs that are explained at once; others wait for their turn.
const EXPLAINED_AT_ONCE_MAX: usize = 2;

/// Turns of explaining: it takes as long as building a snapshot.
static TURNS: Semaphore = Semaphore::const_new(EXPLAINED_AT_ONCE_MAX);

/// Something that a server offers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CatalogItem {
    /// `tool`, `prompt`, `resource` or `template`.
    kind: &'static str,
    /// What the server calls it: a name, a URI or a URI template.
    native: String,
    /// Why no toolset can have it; absent for what can be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<WhyLeftOut>,
    /// What becomes of it in the toolsets that have its server, by their names.
    toolsets: Vec<InToolset>,
    #[serde(skip)]
    key: String,
}

/// What becomes of something in a toolset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InToolset {
    /// The toolset.
    toolset: String,
    /// Whether it is shown there.
    shown: bool,
    /// Under which name, URI or template.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Why it is not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<WhyLeftOut>,
    /// Whether only the groups see it that see tools which write.
    write_groups_only: bool,
}

/// Why something is left out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WhyLeftOut {
    /// `invalid`, `duplicate`, `too_many`, `task_only`, `header_arguments`, `template`, `server_rules`, `toolset_rules`,
    /// `page_only`, `tools_max` or `uri_taken`.
    reason: &'static str,
    /// The reason in words.
    detail: String,
}

/// Which items, and which page.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Only these: `tool`, `prompt`, `resource` or `template`.
    #[param(inline)]
    kind: Option<Kind>,
    /// Only what is left out: of everything, or of a toolset (that one, when `toolset` is given). With `false`, only what is not.
    dropped: Option<bool>,
    /// Only what becomes of them in this toolset.
    toolset: Option<String>,
    /// Items at the most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
}

/// A kind of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CatalogKind)]
pub(crate) enum Kind {
    /// Tools.
    Tool,
    /// Prompts.
    Prompt,
    /// Resources.
    Resource,
    /// Resource templates.
    Template,
}

/// What a server offered when the replica that answers last heard it, and what becomes of it.
#[utoipa::path(get, path = "/tenants/{tenant}/servers/{server}/catalog", operation_id = "show_catalog", tag = "catalogs",
    params(("tenant" = String, Path, description = "The tenant's name."),
        ("server" = String, Path, description = "The server's name."), Wanted),
    responses((status = 200, description = "A page of it, by kind and native name.", body = Local<CatalogItem>)))]
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path((tenant, server)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Local<CatalogItem>>, Problem> {
    let here = Here::see(&desk, &admin, &tenant).await?;
    let server = name(&server)?;
    if !here.has(&server) {
        return Err(Problem::not_found());
    }
    let toolset = wanted.toolset.as_deref().map(|toolset| toolset_of(&here, toolset)).transpose()?;
    let items = explained(&here, server, toolset).await?;
    let page = PageQuery { limit: wanted.limit, cursor: wanted.cursor.clone() };
    let items = items.into_iter().filter(|item| wanted.takes(item));
    let Page { items, next } = page.cut(items, |item| item.key.clone())?;
    Ok(Json(here.local(Page { items, next })))
}

fn toolset_of(here: &Here<'_>, toolset: &str) -> Result<Slug, Problem> {
    let known = here.state.snapshot.views.keys().find(|known| known.as_str() == toolset);
    known.cloned().ok_or_else(|| Problem::bad_request("toolset: the tenant has none of that name"))
}

async fn explained(here: &Here<'_>, server: Slug, toolset: Option<Slug>) -> Result<Vec<CatalogItem>, Problem> {
    let (row, options) = (here.state.made.row.clone(), options(here.app));
    let handles = here.state.servers.clone();
    let _turn = TURNS.acquire().await.map_err(|_| Problem::internal())?;
    let work = move || {
        let part = |handle: &Arc<crate::tenancy::ServerHandle>| Some((handle.id, handle.inside.known().part?.part()));
        let parts: BTreeMap<_, CatalogPart> = handles.iter().filter_map(part).collect();
        snapshot::explain(&row, &parts, &options, &server, toolset.as_ref())
    };
    let explained = tokio::task::spawn_blocking(work).await.map_err(|_| Problem::internal())?;
    let explained = explained
        .map_err(|error| Problem::conflict(format!("what the servers offer now cannot be put in force: {error}")))?;
    let mut items: Vec<_> =
        explained.into_iter().enumerate().map(|(place, item)| CatalogItem::of(place, item)).collect();
    items.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(items)
}

impl Wanted {
    fn takes(&self, item: &CatalogItem) -> bool {
        let dropped = item.left_out.is_some() || item.toolsets.iter().any(|place| !place.shown);
        self.kind.is_none_or(|kind| kind.word() == item.kind) && self.dropped.is_none_or(|wanted| wanted == dropped)
    }
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
            Self::Template => "template",
        }
    }
}

impl CatalogItem {
    /// `place` is its place among those of its kind and native name, which may come several times.
    fn of(place: usize, item: Explained) -> Self {
        let Explained { kind, native, left_out, places } = item;
        let (rank, word) = match kind {
            ItemKind::Tool => (0, "tool"),
            ItemKind::Prompt => (1, "prompt"),
            ItemKind::Resource => (2, "resource"),
            ItemKind::Template => (3, "template"),
            ItemKind::Skill => (4, "skill"),
        };
        let key = format!("{rank}{native}\0{place:06}");
        let toolsets = places.into_iter().map(InToolset::of).collect();
        Self { kind: word, native, left_out: left_out.map(WhyLeftOut::of), toolsets, key }
    }
}

impl InToolset {
    fn of(placed: Placed) -> Self {
        let Placed { toolset, shown, write_groups_only } = placed;
        let (name, left_out) = match shown {
            Ok(name) => (Some(name), None),
            Err(left_out) => (None, Some(WhyLeftOut::of(left_out))),
        };
        Self { toolset: toolset.to_string(), shown: name.is_some(), name, left_out, write_groups_only }
    }
}

impl WhyLeftOut {
    fn of(left_out: LeftOut) -> Self {
        Self { reason: left_out.reason.as_str(), detail: left_out.detail }
    }
}

/// What came of asking a server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Refreshed {
    /// The replica that asked.
    replica: String,
    /// Whether the server answered.
    answered: bool,
    /// Whether its lists are others than before. They are in force now.
    changed: bool,
    /// Why it did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// When the lists were read that are in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    heard_at: Option<String>,
}

/// Has the replica that answers ask the server for its lists now, also while it waits to try a server again that failed. The answer
/// comes when they are in force.
#[utoipa::path(post, path = "/tenants/{tenant}/servers/{server}/catalog/refresh", operation_id = "refresh_catalog", tag = "catalogs",
    params(("tenant" = String, Path, description = "The tenant's name."), ("server" = String, Path, description = "The server's name.")),
    responses((status = 200, description = "What came of it; also when the server did not answer.", body = Refreshed)))]
pub(super) async fn refresh(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path((tenant, server)): Path<(String, String)>,
) -> Result<Json<Refreshed>, Problem> {
    let (here, pass) = Here::change(&desk, &admin, &tenant).await?;
    let handle = here.running(&server)?;
    let note = pass.note(format!("had the server {server} of {tenant} asked for its lists"));
    desk.store().audit_note(Some(here.state.snapshot.tenant), Action::CatalogRefresh, &note).await?;
    let asked = handle.inside.ask().map_err(|why| match why {
        NotAsked::Busy => Problem::away("others wait for this server already"),
        NotAsked::Gone => replaced(),
    })?;
    let told = match timeout(REFRESH_PATIENCE, asked).await {
        Ok(told) => told.map_err(|_| replaced())?,
        Err(_) => {
            return Err(Problem::broken_off(
                "the server is asked and has not answered yet: its health says how it goes",
            ));
        }
    };
    let heard_at = handle.inside.known().part.map(|part| when::shown(part.at_ms));
    let replica = here.app.replica.id.clone();
    Ok(Json(Refreshed { replica, answered: told.error.is_none(), changed: told.changed, error: told.error, heard_at }))
}

fn replaced() -> Problem {
    Problem::broken_off("the server was configured anew meanwhile, and is asked anyhow")
}
