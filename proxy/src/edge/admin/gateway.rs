//! The gateway that answers: which it is, since when, in which state, what it has in force.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use patchbay_core::admin::Need;
use serde::Serialize;
use utoipa::ToSchema;

use super::{desk::Desk, problem::Problem, when, who::Admin};
use crate::{
    app::{self, App},
    cli::connect::base_of,
    worker::Gauges,
};

/// The most tenants that are named with their generations.
const TENANTS_SHOWN_MAX: usize = 1000;

/// A running gateway.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Gateway {
    /// Its version.
    version: &'static str,
    /// The process: random, and another one after each start.
    replica: String,
    /// `starting`, `serving` or `draining`.
    state: &'static str,
    /// When it was started.
    #[schema(format = DateTime)]
    since: String,
    /// Seconds since then.
    uptime_s: u64,
    /// What its store is: `sqlite` or `postgres`.
    store: &'static str,
    /// How it counts limits now: `memory`, `shared` or `away`.
    limits: &'static str,
    /// Where it listens.
    listeners: BTreeMap<&'static str, String>,
    /// Where clients reach it: `public_url`, or where it listens for them. The addresses of toolsets begin so.
    clients_url: String,
    /// How many tenants it has in force that you may see.
    tenant_count: usize,
    /// These tenants with the generations in force, by their names; a thousand at the most.
    tenants: Vec<InForce>,
    /// How busy it is; for platform admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    load: Option<Load>,
}

/// A tenant in force.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TenantInForce)]
pub(crate) struct InForce {
    /// Its name.
    name: String,
    /// The number of its state.
    generation: u64,
}

/// How busy a gateway is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Load {
    /// The machine, or the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// Connections of clients.
    connections: u64,
    /// Requests that run now.
    in_flight: u64,
    /// The threads that serve, with their jobs.
    workers: Vec<Worker>,
    /// How far the audit is behind.
    audit: AuditLag,
}

/// A thread that serves.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Worker {
    /// Jobs that it has not begun.
    waiting: usize,
    /// Jobs that it has.
    running: usize,
}

/// The audit between the spool and the store.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditLag {
    /// Records that are on the spool and not in the store.
    waiting: u64,
    /// How long ago the oldest of them began, in milliseconds.
    lag_ms: u64,
    /// How full the spool is, from 0 to 1.
    spool: f64,
    /// How often the store did not take what it was sent, since the start.
    failures: u64,
}

/// The gateway that answers.
#[utoipa::path(get, path = "/gateway", operation_id = "show_gateway", tag = "gateway",
    responses((status = 200, description = "How it is now.", body = Gateway)))]
pub(super) async fn show(State(desk): State<Arc<Desk>>, admin: Admin) -> Result<Json<Gateway>, Problem> {
    let app = desk.live()?;
    let listeners = app.replica.listeners.get();
    let public = listeners.into_iter().flatten().find(|(name, _)| *name == "mcp").map(|(_, at)| *at);
    let mut seen = app.tenants.states();
    seen.retain(|state| admin.sees(&state.snapshot.slug));
    seen.sort_by(|a, b| a.snapshot.slug.cmp(&b.snapshot.slug));
    let of = |state: &Arc<crate::tenancy::TenantState>| InForce {
        name: state.snapshot.slug.to_string(),
        generation: state.snapshot.generation.0,
    };
    Ok(Json(Gateway {
        version: env!("CARGO_PKG_VERSION"),
        replica: app.replica.id.clone(),
        state: app.ready().map_or_else(str::trim_end, |()| "serving"),
        since: when::shown(app.replica.began_ms),
        uptime_s: app.replica.began.elapsed().as_secs(),
        store: app::store_kind(desk.config()),
        limits: app.limits.tenants.mode().as_str(),
        listeners: listeners.into_iter().flatten().map(|(name, at)| (*name, at.to_string())).collect(),
        clients_url: base_of(desk.config(), public.unwrap_or(desk.config().listen_mcp)),
        tenant_count: seen.len(),
        tenants: seen.iter().take(TENANTS_SHOWN_MAX).map(of).collect(),
        load: admin.covers(Need::Platform).then(|| load(app)),
    }))
}

fn load(app: &App) -> Load {
    let (depth, workers) = (app.audit.depth(), app.workers.get().map(Gauges::loads).unwrap_or_default());
    let count = |gauge: i64| u64::try_from(gauge).unwrap_or(0);
    Load {
        host: app.replica.host.clone(),
        connections: count(app.metrics.connections.get()),
        in_flight: count(app.metrics.in_flight.get()),
        workers: workers.iter().map(|load| Worker { waiting: load.waiting, running: load.running }).collect(),
        audit: AuditLag {
            waiting: depth.records,
            lag_ms: depth.lag_ms,
            spool: depth.occupancy,
            failures: depth.failures,
        },
    }
}
