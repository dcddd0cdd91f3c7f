//! API keys in SQLite. Making, replacing and revoking one adds one to the tenant's generation; noting a use does not.

use async_trait::async_trait;
use patchbay_core::{KeyId, TenantId, model::KeyRow};
use sqlx::SqliteConnection;

use super::{
    SqliteStore, audit,
    tenants::{bump, slug_of},
};
use crate::{
    ApiKeys, Note, StoreError,
    error::{Fault, doing},
    rows::{KeyRecord, REPLACE, all, blob, json, newest_uses, no_such_tenant},
};

#[async_trait]
impl ApiKeys for SqliteStore {
    async fn key_create(&self, key: &KeyRow, note: &Note) -> Result<(), StoreError> {
        doing("make an API key", async {
            let mut tx = self.writing().await?;
            let slug = slug_of(&mut tx, key.tenant).await?.ok_or_else(|| no_such_tenant(key.tenant))?;
            insert(&mut tx, key).await?;
            let state = bump(&mut tx, &slug, true).await?;
            audit::record(&mut tx, key.tenant, note).await?;
            tx.commit().await?;
            self.announcer.tenant(&state);
            Ok(())
        })
        .await
    }

    async fn key_list(&self, tenant: TenantId) -> Result<Vec<KeyRow>, StoreError> {
        doing("list the API keys of a tenant", async {
            let records: Vec<KeyRecord> = sqlx::query_as(
                "SELECT id, tenant_id, label, shown, digest, toolsets, created_ms, expires_ms, revoked_ms, used_ms \
                 FROM api_keys WHERE tenant_id = $1 ORDER BY created_ms, id",
            )
            .bind(blob(tenant.bits()))
            .fetch_all(&self.read)
            .await?;
            Ok(all(records)?)
        })
        .await
    }

    async fn key_revoke(&self, tenant: TenantId, key: KeyId, at_ms: i64, note: &Note) -> Result<bool, StoreError> {
        doing("revoke an API key", async {
            let mut tx = self.writing().await?;
            let Some(slug) = slug_of(&mut tx, tenant).await? else { return Ok(false) };
            let revoked = sqlx::query(
                "UPDATE api_keys SET revoked_ms = $3 WHERE id = $1 AND tenant_id = $2 AND revoked_ms IS NULL",
            )
            .bind(blob(key.bits()))
            .bind(blob(tenant.bits()))
            .bind(at_ms)
            .execute(&mut *tx)
            .await?;
            if revoked.rows_affected() == 0 {
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

    async fn key_rotate(&self, former: KeyId, key: &KeyRow, until_ms: i64, note: &Note) -> Result<bool, StoreError> {
        doing("replace an API key", async {
            let mut tx = self.writing().await?;
            let slug = slug_of(&mut tx, key.tenant).await?.ok_or_else(|| no_such_tenant(key.tenant))?;
            let replaced = sqlx::query(REPLACE)
                .bind(blob(former.bits()))
                .bind(blob(key.tenant.bits()))
                .bind(key.created_ms)
                .bind(until_ms)
                .execute(&mut *tx)
                .await?;
            if replaced.rows_affected() == 0 {
                return Ok(false);
            }
            insert(&mut tx, key).await?;
            let state = bump(&mut tx, &slug, true).await?;
            audit::record(&mut tx, key.tenant, note).await?;
            tx.commit().await?;
            self.announcer.tenant(&state);
            Ok(true)
        })
        .await
    }

    async fn keys_touch(&self, used: &[(TenantId, KeyId, i64)]) -> Result<(), StoreError> {
        if used.is_empty() {
            return Ok(());
        }
        doing("note the last use of API keys", async {
            let mut tx = self.writing().await?;
            for ((key, tenant), at_ms) in newest_uses(used) {
                sqlx::query(
                    "UPDATE api_keys SET used_ms = $3 \
                     WHERE id = $1 AND tenant_id = $2 AND (used_ms IS NULL OR used_ms < $3)",
                )
                .bind(blob(key.bits()))
                .bind(blob(tenant.bits()))
                .bind(at_ms)
                .execute(&mut *tx)
                .await?;
            }
            tx.commit().await?;
            Ok(())
        })
        .await
    }
}

async fn insert(tx: &mut SqliteConnection, key: &KeyRow) -> Result<(), Fault> {
    let toolsets = key.toolsets.as_ref().map(json).transpose()?;
    let done = sqlx::query(
        "INSERT INTO api_keys \
         (id, tenant_id, label, shown, digest, toolsets, created_ms, expires_ms, revoked_ms, used_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
    )
    .bind(blob(key.id.bits()))
    .bind(blob(key.tenant.bits()))
    .bind(&key.label)
    .bind(&key.shown)
    .bind(key.digest.to_vec())
    .bind(toolsets)
    .bind(key.created_ms)
    .bind(key.expires_ms)
    .bind(key.revoked_ms)
    .bind(key.used_ms)
    .execute(tx)
    .await?;
    if done.rows_affected() == 0 {
        return Err(StoreError::Exists(format!(
            "an API key with the id {} or the same digest is there already",
            key.id
        ))
        .into());
    }
    Ok(())
}
