//! Revocations in Sqlite. Adding and lifting one adds one to the tenant's generation; forgetting one that expired does not.

use async_trait::async_trait;
use patchbay_core::{RevocationId, TenantId, issuer::RevocationRow};
use sqlx::SqliteConnection;
use tracing::warn;

use super::{
    SqliteStore, audit,
    tenants::{bump, slug_of},
};
use crate::{
    Note, Revocations, StoreError,
    error::{Fault, doing},
    rows::{RevocationRecord, all, blob, joined, no_such_tenant, revoked, revoked_already},
};

const FORGET: &str = "DELETE FROM revocations WHERE tenant_id = $1 AND expires_ms <= $2";

#[async_trait]
impl Revocations for SqliteStore {
    async fn revocation_add(&self, row: &RevocationRow, note: &Note) -> Result<(), StoreError> {
        doing("add a revocation", async {
            let mut tx = self.writing().await?;
            let slug = slug_of(&mut tx, row.tenant).await?.ok_or_else(|| no_such_tenant(row.tenant))?;
            // One that is over must not stand in the way of the same anew.
            forget(&mut tx, row.tenant, row.created_ms).await?;
            insert(&mut tx, row).await?;
            let state = bump(&mut tx, &slug, true).await?;
            audit::record(&mut tx, row.tenant, note).await?;
            tx.commit().await?;
            self.announcer.tenant(&state);
            Ok(())
        })
        .await
    }

    async fn revocation_list(&self, tenant: TenantId, now_ms: i64) -> Result<Vec<RevocationRow>, StoreError> {
        doing("list the revocations of a tenant", async {
            let mut records: Vec<RevocationRecord> = sqlx::query_as(
                "SELECT id, tenant_id, what, reason, created_ms, expires_ms \
                 FROM revocations WHERE tenant_id = $1 ORDER BY created_ms, id",
            )
            .bind(blob(tenant.bits()))
            .fetch_all(&self.read)
            .await?;
            let before = records.len();
            records.retain(|record| !record.is_over(now_ms));
            if records.len() < before {
                self.tidy(tenant, now_ms).await;
            }
            Ok(all(records)?)
        })
        .await
    }

    async fn revocation_lift(&self, tenant: TenantId, id: RevocationId, note: &Note) -> Result<bool, StoreError> {
        doing("lift a revocation", async {
            let mut tx = self.writing().await?;
            let Some(slug) = slug_of(&mut tx, tenant).await? else { return Ok(false) };
            let gone = sqlx::query("DELETE FROM revocations WHERE id = $1 AND tenant_id = $2")
                .bind(blob(id.bits()))
                .bind(blob(tenant.bits()))
                .execute(&mut *tx)
                .await?;
            if gone.rows_affected() == 0 {
                return Ok(false);
            }
            let state = bump(&mut tx, &slug, true).await?;
            audit::record(&mut tx, tenant, note).await?;
            tx.commit().await?;
            self.announcer.tenant(&state);
            Ok(true)
        })
        .await
    }
}

impl SqliteStore {
    /// Deletes what is over. Whoever lists has an answer without it, so it may fail.
    async fn tidy(&self, tenant: TenantId, now_ms: i64) {
        let done = async { forget(&mut *self.write.acquire().await?, tenant, now_ms).await };
        if let Err(error) = done.await {
            warn!(tenant.id = %tenant, ?error, "revocations that expired could not be deleted; the next listing tries again");
        }
    }
}

async fn forget(connection: &mut SqliteConnection, tenant: TenantId, now_ms: i64) -> Result<(), Fault> {
    sqlx::query(FORGET).bind(blob(tenant.bits())).bind(now_ms).execute(connection).await?;
    Ok(())
}

/// Writes it, in the place of one that revokes the same thing for less.
async fn insert(tx: &mut SqliteConnection, row: &RevocationRow) -> Result<(), Fault> {
    let (what, digest) = revoked(&row.what)?;
    let held: Option<RevocationRecord> = sqlx::query_as(
        "SELECT id, tenant_id, what, reason, created_ms, expires_ms \
         FROM revocations WHERE tenant_id = $1 AND digest = $2",
    )
    .bind(blob(row.tenant.bits()))
    .bind(digest.clone())
    .fetch_optional(&mut *tx)
    .await?;
    let row = match held {
        None => row.clone(),
        Some(held) => {
            // Asked first: a refusal that had already deleted would hold the row until its transaction is rolled back.
            let id = held.id.clone();
            let row = joined(row, held.try_into()?).ok_or_else(revoked_already)?;
            sqlx::query("DELETE FROM revocations WHERE id = $1").bind(id).execute(&mut *tx).await?;
            row
        }
    };
    let done = sqlx::query(
        "INSERT INTO revocations (id, tenant_id, digest, what, reason, created_ms, expires_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(blob(row.id.bits()))
    .bind(blob(row.tenant.bits()))
    .bind(digest)
    .bind(what)
    .bind(&row.reason)
    .bind(row.created_ms)
    .bind(row.expires_ms)
    .execute(tx)
    .await?;
    if done.rows_affected() == 0 { Err(revoked_already().into()) } else { Ok(()) }
}
