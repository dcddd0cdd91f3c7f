//! The audit as a stream of lines. It is read as fast as the client takes it and no faster, and what breaks off is no whole answer.
//! The lines are [`crate::ledger::export`]'s.

use std::{io, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, HeaderValue, header};
use patchbay_core::{admin::Need, audit::Action};
use serde::Deserialize;
use tokio::{
    sync::{SemaphorePermit, mpsc},
    time::timeout,
};
use tracing::warn;
use utoipa::IntoParams;

use super::{
    super::{
        desk::Desk,
        input::{Path, Query, name},
        problem::Problem,
        who::{Admin, Pass},
    },
    Of, moment, turn, whose,
};
use crate::ledger::{export::Export, span::Span};

/// Pieces of some hundred lines that wait for the client.
const EXPORT_WAITING_MAX: usize = 2;
/// How long a client may take nothing.
const EXPORT_STALL_MAX: Duration = Duration::from_secs(60);
/// How many records are in none of the chains, since they are from before there were any: they are not exported.
const UNCHAINED: HeaderName = HeaderName::from_static("patchbay-unchained-records");
/// How long an export goes on.
const EXPORT_TIME_MAX: Duration = Duration::from_secs(3600);

/// Which part of the chains.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantSpan {
    /// What began at this time or later: as in RFC 3339, or an age such as `90m`, `24h` or `7d`.
    since: Option<String>,
    /// What began before this time.
    until: Option<String>,
}

/// Which chains, and which part of them.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlatformSpan {
    /// Of this tenant.
    tenant: Option<String>,
    /// Of the tenant with this id, which may be deleted.
    tenant_id: Option<String>,
    /// Of no tenant: refused before anybody knew whose it was, and what the gateway did itself.
    no_tenant: Option<bool>,
    /// What began at this time or later: as in RFC 3339, or an age such as `90m`, `24h` or `7d`.
    since: Option<String>,
    /// What began before this time.
    until: Option<String>,
}

/// What goes to the client.
enum Piece {
    Lines(Bytes),
    /// All of it was sent.
    End,
}

/// The chains of a tenant as lines of JSON, each record byte for byte, with their signed checkpoints: what `patchbay audit verify`
/// reads without a gateway. An answer that breaks off is not all of it.
#[utoipa::path(get, path = "/tenants/{tenant}/audit/export", operation_id = "export_tenant_audit", tag = "audit",
    params(("tenant" = String, Path, description = "The tenant's name."), TenantSpan),
    responses((status = 200, description = "The lines.", body = String, content_type = "application/x-ndjson",
        headers(("Patchbay-Unchained-Records" = u64, description = "Records from before there were chains, which are not among them.")))))]
pub(in super::super) async fn of_tenant(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Path(tenant): Path<String>,
    Query(span): Query<TenantSpan>,
) -> Result<Response, Problem> {
    let tenant = name(&tenant)?;
    let pass = admin.may(Need::See(&tenant))?;
    let of = Some(Some(desk.tenant(&tenant).await?.id));
    run(desk, &pass, of, span).await
}

/// The chains of all tenants and of none as lines of JSON, as for one tenant.
#[utoipa::path(get, path = "/audit/export", operation_id = "export_audit", tag = "audit", params(PlatformSpan),
    responses(
        (status = 200, description = "The lines.", body = String, content_type = "application/x-ndjson",
            headers(("Patchbay-Unchained-Records" = u64, description = "Records from before there were chains, which are not among them."))),
        (status = 404, description = "There is no tenant of the name in the query."),
        (status = 409, description = "The secrets of the tenant in the query cannot be opened.")))]
pub(in super::super) async fn of_all(
    State(desk): State<Arc<Desk>>,
    admin: Admin,
    Query(span): Query<PlatformSpan>,
) -> Result<Response, Problem> {
    let pass = admin.may(Need::Platform)?;
    let PlatformSpan { tenant, tenant_id, no_tenant, since, until } = span;
    let of = whose(&desk, tenant.as_deref(), tenant_id.as_deref(), no_tenant).await?;
    run(desk, &pass, of, TenantSpan { since, until }).await
}

async fn run(desk: Arc<Desk>, pass: &Pass, of: Of, span: TenantSpan) -> Result<Response, Problem> {
    let span = Span { since: moment("since", span.since.as_deref())?, until: moment("until", span.until.as_deref())? };
    let turn = turn().await?;
    let export = Export::begin(desk.store(), of, span).await?;
    let note = pass.note(format!("exported {} chains of the audit", export.chains()));
    desk.store().audit_note(of.flatten(), Action::AuditExport, &note).await?;
    let unchained = desk.store().audit_unchained(of.flatten()).await?;
    let (pieces, taken) = mpsc::channel(EXPORT_WAITING_MAX);
    tokio::spawn(give(desk, export, pieces, turn));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"audit.jsonl\"")),
        (UNCHAINED, HeaderValue::from(unchained)),
    ];
    Ok((headers, body(taken)).into_response())
}

/// Reads the export for as long as somebody takes it. Whatever ends it before its end ends it without [`Piece::End`].
async fn give(desk: Arc<Desk>, mut export: Export, pieces: mpsc::Sender<Piece>, _turn: SemaphorePermit<'static>) {
    let all = async {
        loop {
            let piece = match export.next(desk.store()).await {
                Ok(Some(lines)) => Piece::Lines(lines.into()),
                Ok(None) => Piece::End,
                Err(error) => {
                    warn!(error = format!("{error:#}"), "an export of the audit broke off");
                    return;
                }
            };
            let is_end = matches!(piece, Piece::End);
            let sent = timeout(EXPORT_STALL_MAX, pieces.send(piece)).await;
            if is_end || !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    };
    if timeout(EXPORT_TIME_MAX, all).await.is_err() {
        warn!("an export of the audit took too long and was broken off: ask for parts of it, with since and until");
    }
}

fn body(pieces: mpsc::Receiver<Piece>) -> Body {
    let next = |pieces: Option<mpsc::Receiver<Piece>>| async move {
        let mut pieces = pieces?;
        match pieces.recv().await {
            Some(Piece::Lines(lines)) => Some((Ok(lines), Some(pieces))),
            Some(Piece::End) => None,
            None => Some((Err(io::Error::other("the export broke off")), None)),
        }
    };
    Body::from_stream(stream::unfold(Some(pieces), next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_export_that_breaks_off_is_no_whole_answer() {
        for is_whole in [true, false] {
            let (pieces, taken) = mpsc::channel(EXPORT_WAITING_MAX);
            pieces.send(Piece::Lines(Bytes::from_static(b"{}\n"))).await.unwrap();
            if is_whole {
                pieces.send(Piece::End).await.unwrap();
            }
            drop(pieces);
            assert_eq!(axum::body::to_bytes(body(taken), 100).await.is_ok(), is_whole);
        }
    }
}
