//! Tombstones in Postgres.

use async_trait::async_trait;
use patchbay_core::TenantId;
use sqlx::PgConnection;

use super::{PostgresStore, ended, watch};
use crate::{
    StoreError, Tombstone, Tombstones,
    error::{Fault, doing},
    rows::{TombstoneRecord, all, blob, no_such_tenant},
};

#[async_trait]
impl Tombstones for PostgresStore {
    async fn tombstone_put(&self, tenant: TenantId, digest: [u8; 32], expires_ms: i64) -> Result<bool, StoreError> {
        doing("write a tombstone", async {
            let mut tx = self.writing().await?;
            let done = bury(&mut tx, tenant, digest, expires_ms, self.origin).await;
            let is_first = ended(tx, done).await?;
            if is_first {
                self.announcer.tombstones();
            }
            Ok(is_first)
        })
        .await
    }

    async fn tombstone_list(&self, now_ms: i64) -> Result<Vec<Tombstone>, StoreError> {
        doing("read the tombstones", async {
            let mut records: Vec<TombstoneRecord> =
                sqlx::query_as("SELECT tenant_id, digest, expires_ms FROM tombstones").fetch_all(&self.pool).await?;
            let before = records.len();
            records.retain(|record| record.expires_ms > now_ms);
            if records.len() < before {
                sqlx::query("DELETE FROM tombstones WHERE expires_ms <= $1").bind(now_ms).execute(&self.pool).await?;
            }
            Ok(all(records)?)
        })
        .await
    }
}

async fn bury(
    tx: &mut PgConnection,
    tenant: TenantId,
    digest: [u8; 32],
    expires_ms: i64,
    origin: u64,
) -> Result<bool, Fault> {
    let done = sqlx::query(
        "INSERT INTO tombstones (tenant_id, digest, expires_ms) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(blob(tenant.bits()))
    .bind(digest.to_vec())
    .bind(expires_ms)
    .execute(&mut *tx)
    .await;
    match done {
        Ok(done) if done.rows_affected() == 0 => Ok(false),
        Ok(_) => {
            watch::notify_tombstones(tx, origin).await?;
            Ok(true)
        }
        Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => Err(no_such_tenant(tenant).into()),
        Err(error) => Err(error.into()),
    }
}
