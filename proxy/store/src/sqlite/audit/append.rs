//! Adding rows to the audit in SQLite, and moving the heads of their chains, under the one write lock.

use patchbay_core::{
    TenantId,
    audit::{Action, ChainId},
};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::known;
use crate::{
    AuditHead, AuditRow, Note, StoreError,
    audit::{COLUMNS, HeadRecord, advance, facet, noted, places, seq_column, tenant_column, writer_column},
    error::Fault,
    rows::blob,
    sqlite::SqliteStore,
};

/// Rows of one statement, largest first. A statement of each size is prepared once and kept: to read a statement of hundreds of
/// rows anew costs more than to run it.
const ROWS: [usize; 5] = [256, 64, 16, 4, 1];

impl SqliteStore {
    /// Adds rows. Nearly always all of them are new, and then nothing is looked up but the heads; else the transaction begins
    /// again with those that are.
    pub(super) async fn append(&self, rows: &[AuditRow]) -> Result<u64, Fault> {
        let mut tx = self.writing().await?;
        let heads = heads(&mut tx, rows).await?;
        if insert(&mut tx, rows.iter().collect()).await? == rows.len() as u64 {
            move_heads(&mut tx, &advance(&heads, rows.iter().collect())?).await?;
            tx.commit().await?;
            return Ok(rows.len() as u64);
        }
        tx.rollback().await?;

        let mut tx = self.writing().await?;
        let heads = self::heads(&mut tx, rows).await?;
        let ids: Vec<_> = rows.iter().map(|row| row.event_id).collect();
        let mut known = known(&mut tx, &ids).await?;
        let fresh: Vec<_> = rows.iter().filter(|row| known.insert(row.event_id)).collect();
        insert(&mut tx, fresh.clone()).await?;
        move_heads(&mut tx, &advance(&heads, fresh.clone())?).await?;
        tx.commit().await?;
        Ok(fresh.len() as u64)
    }
}

/// Notes a change of a tenant in the audit, as part of the change.
pub(in crate::sqlite) async fn record(tx: &mut SqliteConnection, tenant: TenantId, note: &Note) -> Result<(), Fault> {
    record_as(tx, Some(tenant), Action::ConfigUpdate, note).await
}

/// Notes what an operator did.
pub(in crate::sqlite) async fn record_as(
    tx: &mut SqliteConnection,
    tenant: Option<TenantId>,
    action: Action,
    note: &Note,
) -> Result<(), Fault> {
    let chain = crate::audit::operators(tenant);
    let end = head(tx, chain).await?.map_or(patchbay_core::audit::Link::START, |head| head.last);
    let row = noted(tenant, action, end, note);
    if insert(tx, vec![&row]).await? == 0 {
        return Err(StoreError::Exists(format!(
            "there is an event with the id {:032x} already; try again",
            row.event_id
        ))
        .into());
    }
    move_heads(tx, &[AuditHead { chain, last: row.link, at_ms: row.at_ms }]).await
}

/// The heads of the chains of these rows, as far as there are any.
async fn heads(tx: &mut SqliteConnection, rows: &[AuditRow]) -> Result<Vec<AuditHead>, Fault> {
    let mut heads = Vec::new();
    for chain in places(rows) {
        heads.extend(head(tx, chain).await?);
    }
    Ok(heads)
}

async fn head(tx: &mut SqliteConnection, chain: ChainId) -> Result<Option<AuditHead>, Fault> {
    let record: Option<HeadRecord> =
        sqlx::query_as("SELECT tenant, writer, seq, hash, at_ms FROM audit_heads WHERE tenant = $1 AND writer = $2")
            .bind(tenant_column(chain.tenant))
            .bind(writer_column(chain.writer))
            .fetch_optional(tx)
            .await?;
    Ok(record.map(AuditHead::try_from).transpose()?)
}

async fn move_heads(tx: &mut SqliteConnection, heads: &[AuditHead]) -> Result<(), Fault> {
    for head in heads {
        sqlx::query(
            "INSERT INTO audit_heads (tenant, writer, seq, hash, at_ms) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (tenant, writer) DO UPDATE \
             SET seq = excluded.seq, hash = excluded.hash, at_ms = excluded.at_ms",
        )
        .bind(tenant_column(head.chain.tenant))
        .bind(writer_column(head.chain.writer))
        .bind(seq_column(head.last.seq))
        .bind(head.last.hash.to_vec())
        .bind(head.at_ms)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Writes rows, apart from those whose ids are there; gives the number of the others.
async fn insert(tx: &mut SqliteConnection, rows: Vec<&AuditRow>) -> Result<u64, Fault> {
    let mut fresh = 0;
    let mut rest = &rows[..];
    while let Some(size) = ROWS.into_iter().find(|size| *size <= rest.len()) {
        let (rows, after) = rest.split_at(size);
        fresh += insert_some(tx, rows).await?;
        rest = after;
    }
    Ok(fresh)
}

/// Writes rows by one kept statement.
async fn insert_some(tx: &mut SqliteConnection, rows: &[&AuditRow]) -> Result<u64, sqlx::Error> {
    let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(format!("INSERT INTO audit ({COLUMNS}) "));
    query.push_values(rows, |mut values, row| {
        let facets = &row.facets;
        let some = |text: &str| (!text.is_empty()).then(|| facet(text).into_owned());
        values
            .push_bind(blob(row.event_id))
            .push_bind(row.chain.tenant.map(|tenant| blob(tenant.bits())))
            .push_bind(row.at_ms)
            .push_bind(row.kind.as_str())
            .push_bind(row.json.as_str())
            .push_bind(writer_column(row.chain.writer))
            .push_bind(seq_column(row.link.seq))
            .push_bind(if row.link.seq == 0 { Vec::new() } else { row.link.hash.to_vec() })
            .push_bind(some(&facets.actor))
            .push_bind(facets.server.as_deref().map(|text| facet(text).into_owned()))
            .push_bind(facets.name.as_deref().map(|text| facet(text).into_owned()))
            .push_bind(some(&facets.outcome));
    });
    query.push(" ON CONFLICT DO NOTHING");
    Ok(query.build().persistent(true).execute(tx).await?.rows_affected())
}
