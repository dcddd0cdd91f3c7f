//! Adding rows to the audit in Postgres, and moving the heads of their chains, which are locked first: two who write to one
//! chain write one after the other, and the second one finds the head where the first one left it.

use std::collections::{BTreeSet, HashSet};

use patchbay_core::{
    TenantId,
    audit::{Action, ChainId},
};
use sqlx::PgConnection;

use crate::{
    AuditHead, AuditRow, Note, StoreError,
    audit::{HeadRecord, advance, facet, noted, operators, places, seq_column, tenant_column, writer_column},
    error::Fault,
    rows::{all, bits},
};

/// Rows per statement; they travel as arrays, so this only bounds the size of one message.
const ROWS_MAX: usize = 1000;

const INSERT: &str = "INSERT INTO audit \
     (event_id, tenant_id, at_ms, kind, json, writer, seq, hash, actor, server, name, outcome) \
     SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], \
     $8::bytea[], $9::text[], $10::text[], $11::text[], $12::text[]) ON CONFLICT DO NOTHING RETURNING event_id";

const LOCK: &str = "SELECT h.tenant, h.writer, h.seq, h.hash, h.at_ms FROM audit_heads h \
     JOIN unnest($1::bytea[], $2::bigint[]) AS u (tenant, writer) USING (tenant, writer) \
     ORDER BY h.tenant, h.writer FOR UPDATE OF h";

/// A chain's head from before its first row, so that there is something to lock.
const BEGIN: &str = "INSERT INTO audit_heads (tenant, writer, seq, hash, at_ms) \
     SELECT tenant, writer, 0, ''::bytea, 0 FROM unnest($1::bytea[], $2::bigint[]) AS u (tenant, writer) \
     ORDER BY tenant, writer ON CONFLICT DO NOTHING";

const MOVE: &str = "UPDATE audit_heads h SET seq = u.seq, hash = u.hash, at_ms = u.at_ms \
     FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bigint[]) AS u (tenant, writer, seq, hash, at_ms) \
     WHERE h.tenant = u.tenant AND h.writer = u.writer";

/// Adds rows, and gives the number of those that were not there.
pub(super) async fn append(tx: &mut PgConnection, rows: &[AuditRow]) -> Result<u64, Fault> {
    let heads = lock_heads(tx, &places(rows)).await?;
    // In the order of the ids, so that two replicas that send the same rows wait for each other, and never in a circle.
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_by_key(|row| row.event_id);
    let mut fresh = HashSet::with_capacity(rows.len());
    for rows in rows.chunks(ROWS_MAX) {
        for id in insert(tx, rows).await? {
            fresh.insert(bits("event id", &id)?);
        }
    }
    let count = fresh.len() as u64;
    rows.retain(|row| fresh.remove(&row.event_id));
    move_heads(tx, &advance(&heads, rows)?).await?;
    Ok(count)
}

/// Notes a change of a tenant in the audit, as part of the change.
pub(in crate::postgres) async fn record(tx: &mut PgConnection, tenant: TenantId, note: &Note) -> Result<(), Fault> {
    record_as(tx, Some(tenant), Action::ConfigUpdate, note).await
}

/// Notes what an operator did.
pub(in crate::postgres) async fn record_as(
    tx: &mut PgConnection,
    tenant: Option<TenantId>,
    action: Action,
    note: &Note,
) -> Result<(), Fault> {
    let heads = lock_heads(tx, &BTreeSet::from([operators(tenant)])).await?;
    let end = heads.first().map_or(patchbay_core::audit::Link::START, |head| head.last);
    let row = noted(tenant, action, end, note);
    if append(tx, std::slice::from_ref(&row)).await? == 0 {
        let text = format!("there is an event with the id {:032x} already; try again", row.event_id);
        return Err(StoreError::Exists(text).into());
    }
    Ok(())
}

/// The heads of these chains, locked until the end of the transaction.
async fn lock_heads(tx: &mut PgConnection, chains: &BTreeSet<ChainId>) -> Result<Vec<AuditHead>, Fault> {
    if chains.is_empty() {
        return Ok(Vec::new());
    }
    let tenants: Vec<_> = chains.iter().map(|chain| tenant_column(chain.tenant)).collect();
    let writers: Vec<_> = chains.iter().map(|chain| writer_column(chain.writer)).collect();
    let lock = || sqlx::query_as(LOCK).bind(&tenants).bind(&writers);
    let mut records: Vec<HeadRecord> = lock().fetch_all(&mut *tx).await?;
    if records.len() < chains.len() {
        sqlx::query(BEGIN).bind(&tenants).bind(&writers).execute(&mut *tx).await?;
        records = lock().fetch_all(&mut *tx).await?;
    }
    Ok(all(records)?)
}

async fn insert(tx: &mut PgConnection, rows: &[&AuditRow]) -> Result<Vec<Vec<u8>>, sqlx::Error> {
    let texts = |of: fn(&AuditRow) -> Option<&str>| -> Vec<_> { rows.iter().map(|row| of(row).map(facet)).collect() };
    sqlx::query_scalar(INSERT)
        .bind(rows.iter().map(|row| row.event_id.to_be_bytes()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.chain.tenant.map(|tenant| tenant.bits().to_be_bytes())).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.at_ms).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.json.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| writer_column(row.chain.writer)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| seq_column(row.link.seq)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| hash_column(row)).collect::<Vec<_>>())
        .bind(texts(|row| Some(row.facets.actor.as_str()).filter(|actor| !actor.is_empty())))
        .bind(texts(|row| row.facets.server.as_deref()))
        .bind(texts(|row| row.facets.name.as_deref()))
        .bind(texts(|row| Some(row.facets.outcome.as_str()).filter(|outcome| !outcome.is_empty())))
        .fetch_all(tx)
        .await
}

/// The hash, or nothing for a row in no chain.
fn hash_column(row: &AuditRow) -> &[u8] {
    if row.link.seq == 0 { &[] } else { &row.link.hash }
}

async fn move_heads(tx: &mut PgConnection, heads: &[AuditHead]) -> Result<(), Fault> {
    if heads.is_empty() {
        return Ok(());
    }
    sqlx::query(MOVE)
        .bind(heads.iter().map(|head| tenant_column(head.chain.tenant)).collect::<Vec<_>>())
        .bind(heads.iter().map(|head| writer_column(head.chain.writer)).collect::<Vec<_>>())
        .bind(heads.iter().map(|head| seq_column(head.last.seq)).collect::<Vec<_>>())
        .bind(heads.iter().map(|head| head.last.hash).collect::<Vec<_>>())
        .bind(heads.iter().map(|head| head.at_ms).collect::<Vec<_>>())
        .execute(tx)
        .await?;
    Ok(())
}
