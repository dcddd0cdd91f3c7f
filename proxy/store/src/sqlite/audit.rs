//! The audit in SQLite.

use async_trait::async_trait;
use patchbay_core::TenantId;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::SqliteStore;
use crate::{
    AUDIT_RECENT_MAX, AuditLog, AuditRow, StoreError,
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
            .push_bind(row.tenant.map(|tenant| blob(tenant.bits())))
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

    async fn audit_recent(&self, tenant: Option<TenantId>, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        doing("read the audit", async {
            let query = match tenant {
                Some(tenant) => sqlx::query_as(
                    "SELECT event_id, tenant_id, at_ms, kind, json FROM audit WHERE tenant_id = $2 \
                     ORDER BY event_id DESC LIMIT $1",
                )
                .bind(limit.min(AUDIT_RECENT_MAX))
                .bind(blob(tenant.bits())),
                None => sqlx::query_as(
                    "SELECT event_id, tenant_id, at_ms, kind, json FROM audit \
                     ORDER BY event_id DESC LIMIT $1",
                )
                .bind(limit.min(AUDIT_RECENT_MAX)),
            };
            let records: Vec<AuditRecord> = query.fetch_all(&self.read).await?;
            Ok(all(records)?)
        })
        .await
    }
}
