//! The sealing key: which keys are known, by their numbers, and sealing everything anew with the current one. Nothing of a key is
//! ever shown.

use std::sync::Arc;

use axum::{Json, extract::State};
use patchbay_core::{admin::Need, audit::Action};
use patchbay_store::Resealed;
use serde::Serialize;
use utoipa::ToSchema;

use super::{desk::Desk, problem::Problem, who::Admin};
use crate::app::Keys;

/// The sealing keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SealingKeys {
    /// What seals.
    current: SealingKey,
    /// What only opens what was sealed before.
    old: Vec<SealingKey>,
}

/// A sealing key. Its number stands before everything that it sealed, and says nothing of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SealingKey {
    /// Its number.
    id: u8,
    /// Where it comes from: the setting, or a line of the file in the data folder.
    source: String,
}

/// What sealing anew did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Resealing)]
pub(crate) struct Outcome {
    /// The number of the key that seals.
    key: u8,
    /// Secrets that were sealed with it before.
    current: u64,
    /// Secrets that were sealed anew now.
    resealed: u64,
    /// Secrets that no known key opens. They stay as they are.
    closed: u64,
}

/// The sealing keys by their numbers, from the configuration.
#[utoipa::path(get, path = "/sealing-key", operation_id = "show_sealing_keys", tag = "sealing",
    responses((status = 200, description = "The keys that are known.", body = SealingKeys)))]
pub(super) async fn show(State(desk): State<Arc<Desk>>, admin: Admin) -> Result<Json<SealingKeys>, Problem> {
    admin.may(Need::Platform)?;
    let mut keys = known(&desk)?.into_iter();
    let current = keys.next().ok_or_else(Problem::internal)?;
    Ok(Json(SealingKeys { current, old: keys.collect() }))
}

/// Seals everything anew that was sealed with an old key. To be asked for once all replicas have the new key as the current one; after
/// it, and after the longest session, the old one can be dropped.
#[utoipa::path(post, path = "/sealing-key/reseal", operation_id = "reseal", tag = "sealing",
    responses((status = 200, description = "What was done.", body = Outcome)))]
pub(super) async fn reseal(State(desk): State<Arc<Desk>>, admin: Admin) -> Result<Json<Outcome>, Problem> {
    let pass = admin.may(Need::Platform)?;
    let key = known(&desk)?.first().ok_or_else(Problem::internal)?.id;
    let note = pass.note(format!("had everything sealed anew with the key {key}"));
    desk.store().audit_note(None, Action::Reseal, &note).await?;
    let Resealed { current, resealed, closed } = desk.store().reseal().await?;
    Ok(Json(Outcome { key, current, resealed, closed }))
}

/// The keys, the current one first.
fn known(desk: &Desk) -> Result<Vec<SealingKey>, Problem> {
    let keys = Keys::of(desk.config()).map_err(|error| {
        tracing::error!(error = format!("{error:#}"), "the sealing keys cannot be read");
        Problem::away("the sealing keys cannot be read now; the log says why")
    })?;
    Ok(keys.shown().map(|(id, source)| SealingKey { id, source: source.to_owned() }).collect())
}
