//! The audit in Postgres.

use async_trait::async_trait;
use patchbay_core::{
    TenantId,
    audit::{ChainId, Checkpoint, Link, WriterId},
};
use std::collections::HashSet;

use super::{PostgresStore, counted};
use crate::{
    AUDIT_PAGE_MAX, AuditFilter, AuditHead, AuditLog, AuditRow, StoreError,
    error::doing,
    rows::{AuditRecord, all, blob},
};

/// Rows per statement; they travel as five arrays, so this only bounds the size of one message.
const ROWS_MAX: usize = 1000;

const APPEND: &str = "INSERT INTO audit (event_id, tenant_id, at_ms, kind, json) \
     SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::text[], $5::text[]) ON CONFLICT DO NOTHING";

#[async_trait]
impl AuditLog for PostgresStore {
    async fn audit_append(&self, rows: &[AuditRow]) -> Result<u64, StoreError> {
        if rows.is_empty() {
            return Ok(0);
        }
        doing("write to the audit", async {
            // In the order of the ids, so that two replicas that send the same rows wait for each other, and never in a circle.
            let mut rows: Vec<_> = rows.iter().collect();
            rows.sort_unstable_by_key(|row| row.event_id);
            let mut tx = self.writing().await?;
            let mut fresh = 0;
            for rows in rows.chunks(ROWS_MAX) {
                let ids: Vec<_> = rows.iter().map(|row| blob(row.event_id)).collect();
                let tenants: Vec<_> = rows.iter().map(|row| row.chain.tenant.map(|tenant| blob(tenant.bits()))).collect();
                let times: Vec<_> = rows.iter().map(|row| row.at_ms).collect();
                let kinds: Vec<_> = rows.iter().map(|row| row.kind.clone()).collect();
                let jsons: Vec<_> = rows.iter().map(|row| row.json.clone()).collect();
                let query = sqlx::query(APPEND).bind(ids).bind(tenants).bind(times).bind(kinds).bind(jsons);
                fresh += query.execute(&mut *tx).await?.rows_affected();
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
            counted(query, &self.pool).await
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
                .bind(i64::from(limit.min(AUDIT_PAGE_MAX)))
                .bind(blob(tenant.bits())),
                None => sqlx::query_as(
                    "SELECT event_id, tenant_id, at_ms, kind, json FROM audit \
                     ORDER BY event_id DESC LIMIT $1",
                )
                .bind(i64::from(limit.min(AUDIT_PAGE_MAX))),
            };
            let records: Vec<AuditRecord> = query.fetch_all(&self.pool).await?;
            Ok(all(records)?)
        })
        .await
    }
}
