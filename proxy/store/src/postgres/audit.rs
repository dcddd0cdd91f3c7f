//! The audit in Postgres: what is read, and the small tables beside the rows. Rows are added in `append`, into `partitions`, and
//! removed in `retain`.

mod append;
mod partitions;
mod retain;

use std::collections::HashSet;

use async_trait::async_trait;
use patchbay_core::{
    TenantId,
    audit::{Action, ChainId, Checkpoint, Link, WriterId},
};
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::{PostgresStore, counted, ended, undone};
use crate::{
    AUDIT_PAGE_MAX, AuditFilter, AuditHead, AuditLog, AuditRow, Note, StoreError,
    audit::{
        AuditRecord, ChainRecord, CheckpointRecord, CursorRecord, HeadRecord, LEASE_AHEAD_MAX_MS, page, seq_column,
        tenant_column, whole_places, writer_column,
    },
    error::{Fault, doing},
    rows::{all, bits, blob},
};

pub(super) use append::{record, record_as};

/// Ids that one statement looks for.
const KNOWN_MAX: usize = 1000;

/// The bounds say once more where the ids are, so that partitions without them are not opened.
const KNOWN: &str = "SELECT event_id FROM audit WHERE event_id = ANY($1) AND event_id >= $2 AND event_id <= $3";

const CHAIN: &str = "SELECT event_id, tenant_id, at_ms, kind, json, writer, seq, hash, actor, server, name, outcome FROM audit \
                     WHERE writer = $1 AND coalesce(tenant_id, ''::bytea) = $2 AND seq > $3 ORDER BY seq LIMIT $4";

/// Rows with `seq` 0 are in no chain, and a head with it has none yet.
const CHAINS: &str = "SELECT tenant, writer FROM (SELECT tenant, writer FROM audit_heads WHERE seq > 0 \
     UNION SELECT tenant, writer FROM audit_checkpoints \
     UNION SELECT coalesce(tenant_id, ''::bytea), writer FROM audit WHERE seq > 0) c \
     WHERE $1 IS NULL OR tenant = $1 ORDER BY tenant, writer";

#[async_trait]
impl AuditLog for PostgresStore {
    async fn audit_append(&self, rows: &[AuditRow]) -> Result<u64, StoreError> {
        if rows.is_empty() {
            return Ok(0);
        }
        doing("write to the audit", async {
            let mut tx = self.writing().await?;
            match append::append(&mut tx, rows).await {
                Ok(fresh) => {
                    tx.commit().await?;
                    Ok(fresh)
                }
                Err(fault) => Err(undone(tx, fault).await),
            }
        })
        .await
    }

    async fn audit_known(&self, ids: &[u128]) -> Result<HashSet<u128>, StoreError> {
        doing("look for records of the audit", async {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            let mut known = HashSet::new();
            for ids in ids.chunks(KNOWN_MAX) {
                let found: Vec<Vec<u8>> = sqlx::query_scalar(KNOWN)
                    .bind(ids.iter().map(|id| id.to_be_bytes()).collect::<Vec<_>>())
                    .bind(blob(ids[0]))
                    .bind(blob(ids[ids.len() - 1]))
                    .persistent(false)
                    .fetch_all(&self.pool)
                    .await?;
                for id in found {
                    known.insert(bits("event id", &id)?);
                }
            }
            Ok(known)
        })
        .await
    }

    async fn audit_heads(
        &self,
        writer: Option<WriterId>,
        tenant: Option<Option<TenantId>>,
    ) -> Result<Vec<AuditHead>, StoreError> {
        doing("read the heads of the audit's chains", async {
            // A chain that is just being begun has a head before its first row.
            let records: Vec<HeadRecord> = sqlx::query_as(
                "SELECT tenant, writer, seq, hash, at_ms FROM audit_heads \
                 WHERE seq > 0 AND ($1 IS NULL OR writer = $1) AND ($2 IS NULL OR tenant = $2) ORDER BY tenant, writer",
            )
            .bind(writer.map(writer_column))
            .bind(tenant.map(tenant_column))
            .fetch_all(&self.pool)
            .await?;
            Ok(all(records)?)
        })
        .await
    }

    async fn audit_chains(&self, tenant: Option<Option<TenantId>>) -> Result<Vec<ChainId>, StoreError> {
        doing("look for the audit's chains", async {
            let query = sqlx::query_as(CHAINS).bind(tenant.map(tenant_column)).persistent(false);
            let records: Vec<ChainRecord> = query.fetch_all(&self.pool).await?;
            Ok(all(records)?)
        })
        .await
    }

    async fn audit_count(&self, tenant: Option<TenantId>) -> Result<u64, StoreError> {
        doing("count the audit", async {
            let query = match tenant {
                Some(tenant) => {
                    sqlx::query_scalar("SELECT count(*) FROM audit WHERE tenant_id = $1").bind(blob(tenant.bits()))
                }
                None => sqlx::query_scalar("SELECT count(*) FROM audit"),
            };
            counted(query, &self.pool).await
        })
        .await
    }

    async fn audit_page(&self, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        doing("read the audit", async {
            // Planned with its values, so that only the partitions of its times are opened.
            let mut query: QueryBuilder<Postgres> = page(filter, limit);
            let records: Vec<AuditRecord> = query.build_query_as().persistent(false).fetch_all(&self.pool).await?;
            Ok(all(records)?)
        })
        .await
    }

    async fn audit_chain(&self, chain: ChainId, after_seq: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        doing("read a chain of the audit", async {
            let records: Vec<AuditRecord> = sqlx::query_as(CHAIN)
                .bind(writer_column(chain.writer))
                .bind(tenant_column(chain.tenant))
                .bind(seq_column(after_seq))
                .bind(i64::from(limit.min(AUDIT_PAGE_MAX)))
                .fetch_all(&self.pool)
                .await?;
            Ok(all(records)?)
        })
        .await
    }

    async fn audit_unchained(&self, tenant: Option<TenantId>) -> Result<u64, StoreError> {
        doing("count the audit", async {
            // What is in no chain has the writer 0, by which the index `audit_by_chain` begins.
            let query = sqlx::query_scalar(
                "SELECT count(*) FROM audit WHERE writer = 0 AND seq = 0 \
                 AND ($1 IS NULL OR coalesce(tenant_id, ''::bytea) = $1)",
            );
            counted(query.bind(tenant.map(|tenant| blob(tenant.bits()))).persistent(false), &self.pool).await
        })
        .await
    }

    async fn audit_checkpoint_put(&self, checkpoints: &[Checkpoint]) -> Result<(), StoreError> {
        doing("keep checkpoints of the audit", async {
            let mut tx = self.writing().await?;
            put_checkpoints(&mut tx, checkpoints).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    async fn audit_checkpoint_list(&self, chain: ChainId, after_seq: u64) -> Result<Vec<Checkpoint>, StoreError> {
        doing("read the checkpoints of the audit", async {
            let records: Vec<CheckpointRecord> = sqlx::query_as(
                "SELECT tenant, writer, seq, reason, hash, at_ms, signature FROM audit_checkpoints \
                 WHERE tenant = $1 AND writer = $2 AND seq > $3 ORDER BY seq, reason LIMIT $4",
            )
            .bind(tenant_column(chain.tenant))
            .bind(writer_column(chain.writer))
            .bind(seq_column(after_seq))
            .bind(i64::from(AUDIT_PAGE_MAX) + 1)
            .fetch_all(&self.pool)
            .await?;
            Ok(whole_places(all(records)?))
        })
        .await
    }

    async fn audit_cursor_list(&self, sink: &str) -> Result<Vec<(ChainId, u64)>, StoreError> {
        doing("read how far a sink of the audit has come", async {
            let records: Vec<CursorRecord> =
                sqlx::query_as("SELECT tenant, writer, seq FROM audit_cursors WHERE sink = $1 ORDER BY tenant, writer")
                    .bind(sink)
                    .fetch_all(&self.pool)
                    .await?;
            Ok(all(records)?)
        })
        .await
    }

    async fn audit_cursor_put(&self, sink: &str, cursors: &[(ChainId, u64)]) -> Result<(), StoreError> {
        doing("note how far a sink of the audit has come", async {
            let mut tx = self.writing().await?;
            // One order for all, so that two of them wait for each other and never in a circle.
            let mut cursors = cursors.to_vec();
            cursors.sort_unstable();
            for (chain, seq) in cursors {
                sqlx::query(
                    "INSERT INTO audit_cursors AS c (sink, tenant, writer, seq) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (sink, tenant, writer) DO UPDATE SET seq = greatest(c.seq, excluded.seq)",
                )
                .bind(sink)
                .bind(tenant_column(chain.tenant))
                .bind(writer_column(chain.writer))
                .bind(seq_column(seq))
                .execute(&mut *tx)
                .await?;
            }
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    async fn audit_lease(&self, work: &str, holder: u64, now_ms: i64, until_ms: i64) -> Result<bool, StoreError> {
        doing("take a lease on work for the audit", async {
            let taken = sqlx::query(
                "INSERT INTO audit_leases AS l (work, holder, until_ms) VALUES ($1, $2, $4) ON CONFLICT (work) DO UPDATE \
                 SET holder = excluded.holder, until_ms = excluded.until_ms \
                 WHERE l.holder = excluded.holder OR l.until_ms <= $3 OR l.until_ms > $5",
            )
            .bind(work)
            .bind(holder.cast_signed())
            .bind(now_ms)
            .bind(until_ms)
            .bind(now_ms.max(until_ms).saturating_add(LEASE_AHEAD_MAX_MS))
            .execute(&self.pool)
            .await?;
            Ok(taken.rows_affected() == 1)
        })
        .await
    }

    async fn audit_expired(&self, before_ms: i64) -> Result<Vec<(ChainId, Link)>, StoreError> {
        self.expired(before_ms).await
    }

    async fn audit_retain(&self, before_ms: i64, anchors: &[Checkpoint]) -> Result<u64, StoreError> {
        self.retain(before_ms, anchors).await
    }

    async fn audit_note(&self, tenant: Option<TenantId>, action: Action, note: &Note) -> Result<(), StoreError> {
        doing("write to the audit", async {
            let mut tx = self.writing().await?;
            let done = append::record_as(&mut tx, tenant, action, note).await;
            ended(tx, done.map(|()| true)).await?;
            Ok(())
        })
        .await
    }

    async fn audit_prepare(&self, now_ms: i64) -> Result<(), StoreError> {
        self.prepare(now_ms).await
    }
}

async fn put_checkpoints(tx: &mut PgConnection, checkpoints: &[Checkpoint]) -> Result<(), Fault> {
    for record in checkpoints.iter().map(CheckpointRecord::from) {
        sqlx::query(
            "INSERT INTO audit_checkpoints (tenant, writer, seq, reason, hash, at_ms, signature) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        )
        .bind(record.tenant)
        .bind(record.writer)
        .bind(record.seq)
        .bind(record.reason)
        .bind(record.hash)
        .bind(record.at_ms)
        .bind(record.signature)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}
