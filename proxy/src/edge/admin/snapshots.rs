//! The snapshot of a tenant: what is in force on this replica, what the store has, and why they differ.

use std::sync::Arc;

use axum::{Json, extract::State};
use patchbay_core::{admin::Need, snapshot::View};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    desk::Desk,
    here::age_s,
    input::{Path, name},
    problem::Problem,
    when,
    who::Admin,
};
use crate::{
    audit::now_ms,
    tenancy::{Source, TenantState, Trouble},
};

/// What is in force of a tenant, as one replica sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Snapshot {
    /// The replica whose view this is.
    replica: String,
    /// The number of the state that the store has; absent while the store does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    stored_generation: Option<u64>,
    /// Whether that is the state in force here.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<bool>,
    /// What requests are answered from; absent when nothing could be put in force yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_force: Option<InForce>,
    /// Why the newest state is not in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    build_error: Option<BuildError>,
}

/// A snapshot in force.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SnapshotInForce)]
pub(crate) struct InForce {
    /// The number of its state.
    generation: u64,
    /// When it was built.
    #[schema(format = DateTime)]
    built_at: String,
    /// Seconds since then.
    age_s: u64,
    /// `store`, or `copy` for one that was started from since the store did not answer.
    source: &'static str,
    /// When the store last said what a copy says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    as_of: Option<String>,
    /// Whether the tenant answers.
    enabled: bool,
    /// Servers that are switched on.
    servers: usize,
    /// Bytes of the lists that are ready to be sent.
    list_bytes: usize,
    /// The toolsets, by their names.
    toolsets: Vec<Toolset>,
    /// What a person should know: items left out, prefixes that met.
    warnings: Vec<String>,
}

/// A toolset in numbers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ToolsetInForce)]
pub(crate) struct Toolset {
    /// Its name.
    name: String,
    /// Tools that it shows.
    tools: usize,
    /// Tools that its `tools_max` leaves out. What else is left out is in the catalogs of the servers.
    tools_dropped: usize,
    /// Prompts that it shows.
    prompts: usize,
    /// Resources that it lists.
    resources: usize,
    /// Resource templates that it lists.
    templates: usize,
    /// Whether a server is missing or could not be asked lately.
    stale: bool,
}

/// Why the newest state is not in force.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BuildError {
    /// When it was tried last.
    #[schema(format = DateTime)]
    at: String,
    /// The number of that state, when it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    /// Why.
    detail: String,
}

/// What is in force of a tenant on the replica that answers, and why that is not the newest state when it is not.
#[utoipa::path(get, path = "/tenants/{tenant}/snapshot", operation_id = "show_snapshot", tag = "snapshots",
    params(("tenant" = String, Path, description = "The tenant's name.")),
    responses((status = 200, description = "What is in force.", body = Snapshot)))]
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
) -> Result<Json<Snapshot>, Problem> {
    let tenant = name(&tenant)?;
    admin.may(Need::See(&tenant))?;
    let app = desk.live()?;
    let (state, trouble) = (app.tenants.state(tenant.as_str()), app.tenants.troubles(tenant.as_str()));
    // What is in force can be told while the store is away, or cannot read the row.
    let stored = match desk.tenant(&tenant).await {
        Ok(row) => Some(row.generation.0),
        Err(problem) if state.is_none() && trouble.is_none() => return Err(problem),
        Err(_) => None,
    };
    let in_force = state.as_deref().map(InForce::of);
    let current = stored.zip(in_force.as_ref()).map(|(stored, in_force)| in_force.generation == stored);
    let replica = app.replica.id.clone();
    let build_error = trouble.as_deref().map(BuildError::of);
    Ok(Json(Snapshot { replica, stored_generation: stored, current, in_force, build_error }))
}

impl InForce {
    fn of(state: &TenantState) -> Self {
        let snapshot = &state.snapshot;
        let mut views: Vec<_> = snapshot.views.values().collect();
        views.sort_by(|a, b| a.toolset.cmp(&b.toolset));
        let bytes = |view: &Arc<View>| {
            view.lists.bytes() + view.read_only.as_ref().map_or(0, |read_only| read_only.lists.bytes())
        };
        Self {
            generation: snapshot.generation.0,
            built_at: when::shown(state.made.at_ms),
            age_s: age_s(state.made.at_ms, now_ms()),
            source: state.made.source.as_str(),
            as_of: match state.made.source {
                Source::Store => None,
                Source::Copy { as_of_ms } => Some(when::shown(as_of_ms)),
            },
            enabled: snapshot.enabled,
            servers: snapshot.servers.len(),
            list_bytes: views.iter().map(|view| bytes(view)).sum(),
            toolsets: views.iter().map(|view| Toolset::of(view)).collect(),
            warnings: snapshot.warnings.clone(),
        }
    }
}

impl Toolset {
    fn of(view: &View) -> Self {
        Self {
            name: view.toolset.to_string(),
            tools: view.tools.len(),
            tools_dropped: view.dropped.len(),
            prompts: view.prompts.len(),
            resources: view.lists.resources.count,
            templates: view.lists.templates.count,
            stale: view.lists.stale,
        }
    }
}

impl BuildError {
    fn of(trouble: &Trouble) -> Self {
        Self {
            at: when::shown(trouble.at_ms),
            generation: trouble.generation.map(|generation| generation.0),
            detail: trouble.error.clone(),
        }
    }
}
