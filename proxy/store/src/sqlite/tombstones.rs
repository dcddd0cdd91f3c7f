//! Tombstones in SQLite.

use async_trait::async_trait;
use patchbay_core::TenantId;

use super::SqliteStore;
use crate::{
    StoreError, Tombstone, Tombstones,
    error::doing,
    rows::{TombstoneRecord, all, blob, no_such_tenant},
};

#[async_trait]
impl Tombstones for SqliteStore {
    async fn tombstone_put(&self, tenant: TenantId, digest: [u8; 32], expires_ms: i64) -> Result<bool, StoreError> {
        doing("write a tombstone", async {
            let seq: Result<Option<i64>, _> = sqlx::query_scalar(
                "INSERT INTO tombstones (tenant_id, digest, expires_ms) VALUES ($1, $2, $3) \
                 ON CONFLICT DO NOTHING RETURNING seq",
            )
            .bind(blob(tenant.bits()))
            .bind(digest.to_vec())
            .bind(expires_ms)
            .fetch_optional(&self.write)
            .await;
            match seq {
                Ok(Some(seq)) => {
                    self.announcer.tombstones_at((0, seq));
                    Ok(true)
                }
                Ok(None) => Ok(false),
                Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => {
                    Err(no_such_tenant(tenant).into())
                }
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    async fn tombstone_list(&self, now_ms: i64) -> Result<Vec<Tombstone>, StoreError> {
        doing("read the tombstones", async {
            let mut records: Vec<TombstoneRecord> =
                sqlx::query_as("SELECT tenant_id, digest, expires_ms FROM tombstones").fetch_all(&self.read).await?;
            let before = records.len();
            records.retain(|record| record.expires_ms > now_ms);
            if records.len() < before {
                sqlx::query("DELETE FROM tombstones WHERE expires_ms <= $1").bind(now_ms).execute(&self.write).await?;
            }
            Ok(all(records)?)
        })
        .await
    }
}
