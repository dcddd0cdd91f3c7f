//! Revocations in Postgres. Adding and lifting one adds one to the tenant's generation; forgetting one that expired does not.

use async_trait::async_trait;
use patchbay_core::{RevocationId, TenantId, issuer::RevocationRow};
use sqlx::PgConnection;
use tracing::warn;

use super::{PostgresStore, audit, bump, locked};
use crate::{
    Note, Revocations, StoreError,
    announce::State,
    error::{Fault, doing},
    rows::{RevocationRecord, all, blob, joined, no_such_tenant, revoked, revoked_already},
};

/// Rows that somebody else has locked are passed over: this never waits, so it is in nobody's way.
const FORGET: &str = "DELETE FROM revocations WHERE id IN (SELECT id FROM revocations \
                      WHERE tenant_id = $1 AND expires_ms <= $2 FOR UPDATE SKIP LOCKED)";

#[async_trait]
impl Revocations for PostgresStore {
    async fn revocation_add(&self, row: &RevocationRow, note: &Note) -> Result<(), StoreError> {
        doing("add a revocation", async {
            let mut tx = self.writing().await?;
            let done = add(&mut tx, row, note).await;
            self.settled(tx, done.map(|state| ((), Some(state)))).await
        })
        .await
    }

    async fn revocation_list(&self, tenant: TenantId, now_ms: i64) -> Result<Vec<RevocationRow>, StoreError> {
        doing("list the revocations of a tenant", async {
            let mut records: Vec<RevocationRecord> = sqlx::query_as(
                "SELECT id, tenant_id, what::text AS what, reason, created_ms, expires_ms \
                 FROM revocations WHERE tenant_id = $1 ORDER BY created_ms, id",
            )
            .bind(blob(tenant.bits()))
            .fetch_all(&self.pool)
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
            let state = lift(&mut tx, tenant, id, note).await;
            self.settled(tx, state.map(|state| (state.is_some(), state))).await
        })
        .await
    }
}

impl PostgresStore {
    /// Deletes what is over. Whoever lists has an answer without it, so it may fail.
    async fn tidy(&self, tenant: TenantId, now_ms: i64) {
        let done = async { forget(&mut *self.pool.acquire().await?, tenant, now_ms).await };
        if let Err(error) = done.await {
            warn!(tenant.id = %tenant, ?error, "revocations that expired could not be deleted; the next listing tries again");
        }
    }
}

async fn add(tx: &mut PgConnection, row: &RevocationRow, note: &Note) -> Result<State, Fault> {
    let slug = locked(tx, row.tenant).await?.ok_or_else(|| no_such_tenant(row.tenant))?;
    // One that is over must not stand in the way of the same anew.
    forget(tx, row.tenant, row.created_ms).await?;
    insert(tx, row).await?;
    let state = bump(tx, &slug, true).await?;
    audit::record(tx, row.tenant, note).await?;
    Ok(state)
}

/// The tenant's new state, or `None` when there was nothing to lift.
async fn lift(tx: &mut PgConnection, tenant: TenantId, id: RevocationId, note: &Note) -> Result<Option<State>, Fault> {
    let Some(slug) = locked(tx, tenant).await? else { return Ok(None) };
    let gone = sqlx::query("DELETE FROM revocations WHERE id = $1 AND tenant_id = $2")
        .bind(blob(id.bits()))
        .bind(blob(tenant.bits()))
        .execute(&mut *tx)
        .await?;
    if gone.rows_affected() == 0 {
        return Ok(None);
    }
    let state = bump(tx, &slug, true).await?;
    audit::record(tx, tenant, note).await?;
    Ok(Some(state))
}

async fn forget(connection: &mut PgConnection, tenant: TenantId, now_ms: i64) -> Result<(), Fault> {
    sqlx::query(FORGET).bind(blob(tenant.bits())).bind(now_ms).execute(connection).await?;
    Ok(())
}

/// Writes it, in the place of one that revokes the same thing for less.
async fn insert(tx: &mut PgConnection, row: &RevocationRow) -> Result<(), Fault> {
    let (what, digest) = revoked(&row.what)?;
    let held: Option<RevocationRecord> = sqlx::query_as(
        "SELECT id, tenant_id, what::text AS what, reason, created_ms, expires_ms \
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
         VALUES ($1, $2, $3, $4::json, $5, $6, $7) ON CONFLICT DO NOTHING",
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
