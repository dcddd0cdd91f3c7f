//! The audit in SQLite.

use async_trait::async_trait;
use patchbay_core::{
    TenantId,
    audit::{ChainId, Checkpoint, Link, WriterId},
};
use std::collections::HashSet;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::SqliteStore;
use crate::{
    AUDIT_PAGE_MAX, AuditFilter, AuditHead, AuditLog, AuditRow, StoreError,
    error::doing,
    rows::{AuditRecord, all, blob, count},
};

/// Rows of one statement, largest first. A statement of each size is prepared once and kept: to read a statement of hundreds of
/// rows anew costs more than to run it.
const ROWS: [usize; 5] = [256, 64, 16, 4, 1];

/// Adds rows by one kept statement.
async fn append(connection: &mut SqliteConnection, rows: &[AuditRow]) -> Result<u64, sqlx::Error> {
    let mut query: QueryBuilder<Sqlite> =
        QueryBuilder::new("INSERT INTO audit (event_id, tenant_id, at_ms, kind, json) ");
    query.push_values(rows, |mut values, row| {
        values
            .push_bind(blob(row.event_id))
            .push_bind(row.chain.tenant.map(|tenant| blob(tenant.bits())))
            .push_bind(row.at_ms)
            .push_bind(row.kind.as_str())
            .push_bind(row.json.as_str());
    });
    query.push(" ON CONFLICT DO NOTHING");
    Ok(query.build().persistent(true).execute(connection).await?.rows_affected())
}

#[async_trait]
impl AuditLog for SqliteStore {
    async fn audit_append(&self, rows: &[AuditRow]) -> Result<u64, StoreError> {
        if rows.is_empty() {
            return Ok(0);
        }
        doing("write to the audit", async {
            let mut tx = self.writing().await?;
            let mut fresh = 0;
            let mut rest = rows;
            while let Some(size) = ROWS.into_iter().find(|size| *size <= rest.len()) {
                let (rows, after) = rest.split_at(size);
                fresh += append(&mut tx, rows).await?;
                rest = after;
            }
            tx.commit().await?;
            Ok(fresh)
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
            Ok(count(query.fetch_one(&self.read).await?)?)
        })
        .await
    }

    async fn audit_known(&self, ids: &[u128]) -> Result<HashSet<u128>, StoreError> {
        todo!("{ids:?}")
    }

    async fn audit_heads(
        &self,
        writer: Option<WriterId>,
        tenant: Option<Option<TenantId>>,
    ) -> Result<Vec<AuditHead>, StoreError> {
        let _ = (writer, tenant);
        Ok(Vec::new())
    }

    async fn audit_chain(&self, chain: ChainId, after_seq: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        todo!("{chain:?} {after_seq} {limit}")
    }

    async fn audit_unchained(&self, tenant: Option<TenantId>) -> Result<u64, StoreError> {
        todo!("{tenant:?}")
    }

    async fn audit_checkpoint_put(&self, checkpoints: &[Checkpoint]) -> Result<(), StoreError> {
        todo!("{checkpoints:?}")
    }

    async fn audit_checkpoint_list(&self, chain: ChainId, after_seq: u64) -> Result<Vec<Checkpoint>, StoreError> {
        todo!("{chain:?} {after_seq}")
    }

    async fn audit_cursor_list(&self, sink: &str) -> Result<Vec<(ChainId, u64)>, StoreError> {
        todo!("{sink}")
    }

    async fn audit_cursor_put(&self, sink: &str, cursors: &[(ChainId, u64)]) -> Result<(), StoreError> {
        todo!("{sink} {cursors:?}")
    }

    async fn audit_lease(&self, work: &str, holder: u64, now_ms: i64, until_ms: i64) -> Result<bool, StoreError> {
        todo!("{work} {holder} {now_ms} {until_ms}")
    }

    async fn audit_expired(&self, before_ms: i64) -> Result<Vec<(ChainId, Link)>, StoreError> {
        todo!("{before_ms}")
    }

    async fn audit_retain(&self, before_ms: i64, anchors: &[Checkpoint]) -> Result<u64, StoreError> {
        todo!("{before_ms} {anchors:?}")
    }

    async fn audit_prepare(&self, now_ms: i64) -> Result<(), StoreError> {
        let _ = now_ms;
        Ok(())
    }

    async fn audit_page(&self, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let tenant = filter.tenant.flatten();
        doing("read the audit", async {
            let query = match tenant {
                Some(tenant) => sqlx::query_as(
                    "SELECT event_id, tenant_id, at_ms, kind, json FROM audit WHERE tenant_id = $2 \
                     ORDER BY event_id DESC LIMIT $1",
                )
                .bind(limit.min(AUDIT_PAGE_MAX))
                .bind(blob(tenant.bits())),
                None => sqlx::query_as(
                    "SELECT event_id, tenant_id, at_ms, kind, json FROM audit \
                     ORDER BY event_id DESC LIMIT $1",
                )
                .bind(limit.min(AUDIT_PAGE_MAX)),
            };
            let records: Vec<AuditRecord> = query.fetch_all(&self.read).await?;
            Ok(all(records)?)
        })
        .await
    }
}
