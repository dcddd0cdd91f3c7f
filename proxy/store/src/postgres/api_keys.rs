//! API keys in Postgres. Making, replacing and revoking one adds one to the tenant's generation; noting a use does not.

use async_trait::async_trait;
use patchbay_core::{KeyId, TenantId, model::KeyRow};
use sqlx::PgConnection;

use super::{PostgresStore, audit, bump, locked};
use crate::{
    ApiKeys, Note, StoreError,
    announce::State,
    error::{Fault, doing},
    rows::{KeyRecord, REPLACE, all, blob, json, newest_uses, no_such_tenant},
};

/// Keys per statement; what one transaction locks stays small.
const USES_MAX: usize = 1000;

/// The rows are locked in the order of their ids first, since replicas write the same keys at the same time.
const TOUCH: &str = "WITH used AS (SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[]) AS u (id, tenant_id, at_ms)), \
     locked AS (SELECT k.id, u.at_ms FROM api_keys k JOIN used u USING (id, tenant_id) \
                WHERE k.used_ms IS NULL OR k.used_ms < u.at_ms ORDER BY k.id FOR UPDATE OF k) \
     UPDATE api_keys k SET used_ms = greatest(k.used_ms, locked.at_ms) FROM locked WHERE k.id = locked.id";

#[async_trait]
impl ApiKeys for PostgresStore {
    async fn key_create(&self, key: &KeyRow, note: &Note) -> Result<(), StoreError> {
        doing("make an API key", async {
            let mut tx = self.writing().await?;
            let done = create(&mut tx, key, note).await;
            self.settled(tx, done.map(|state| ((), Some(state)))).await
        })
        .await
    }

    async fn key_list(&self, tenant: TenantId) -> Result<Vec<KeyRow>, StoreError> {
        doing("list the API keys of a tenant", async {
            let records: Vec<KeyRecord> = sqlx::query_as(
                "SELECT id, tenant_id, label, shown, digest, toolsets::text AS toolsets, created_ms, expires_ms, revoked_ms, used_ms \
                 FROM api_keys WHERE tenant_id = $1 ORDER BY created_ms, id",
            )
            .bind(blob(tenant.bits()))
            .fetch_all(&self.pool)
            .await?;
            Ok(all(records)?)
        })
        .await
    }

    async fn key_revoke(&self, tenant: TenantId, key: KeyId, at_ms: i64, note: &Note) -> Result<bool, StoreError> {
        doing("revoke an API key", async {
            let mut tx = self.writing().await?;
            let state = revoke(&mut tx, tenant, key, at_ms, note).await;
            self.settled(tx, state.map(|state| (state.is_some(), state))).await
        })
        .await
    }

    async fn key_rotate(&self, former: KeyId, key: &KeyRow, until_ms: i64, note: &Note) -> Result<bool, StoreError> {
        doing("replace an API key", async {
            let mut tx = self.writing().await?;
            let state = replace(&mut tx, former, key, until_ms, note).await;
            self.settled(tx, state.map(|state| (state.is_some(), state))).await
        })
        .await
    }

    async fn keys_touch(&self, used: &[(TenantId, KeyId, i64)]) -> Result<(), StoreError> {
        if used.is_empty() {
            return Ok(());
        }
        doing("note the last use of API keys", async {
            let newest: Vec<_> = newest_uses(used).into_iter().collect();
            for uses in newest.chunks(USES_MAX) {
                let keys: Vec<_> = uses.iter().map(|((key, _), _)| blob(key.bits())).collect();
                let tenants: Vec<_> = uses.iter().map(|((_, tenant), _)| blob(tenant.bits())).collect();
                let times: Vec<_> = uses.iter().map(|(_, at_ms)| *at_ms).collect();
                sqlx::query(TOUCH).bind(keys).bind(tenants).bind(times).execute(&self.pool).await?;
            }
            Ok(())
        })
        .await
    }
}

async fn create(tx: &mut PgConnection, key: &KeyRow, note: &Note) -> Result<State, Fault> {
    let slug = locked(tx, key.tenant).await?.ok_or_else(|| no_such_tenant(key.tenant))?;
    insert(tx, key).await?;
    let state = bump(tx, &slug, true).await?;
    audit::record(tx, key.tenant, note).await?;
    Ok(state)
}

/// The tenant's new state, or `None` when there was nothing to revoke.
async fn revoke(
    tx: &mut PgConnection,
    tenant: TenantId,
    key: KeyId,
    at_ms: i64,
    note: &Note,
) -> Result<Option<State>, Fault> {
    let Some(slug) = locked(tx, tenant).await? else { return Ok(None) };
    let revoked =
        sqlx::query("UPDATE api_keys SET revoked_ms = $3 WHERE id = $1 AND tenant_id = $2 AND revoked_ms IS NULL")
            .bind(blob(key.bits()))
            .bind(blob(tenant.bits()))
            .bind(at_ms)
            .execute(&mut *tx)
            .await?;
    if revoked.rows_affected() == 0 {
        return Ok(None);
    }
    let state = bump(tx, &slug, true).await?;
    audit::record(tx, tenant, note).await?;
    Ok(Some(state))
}

/// The tenant's new state, or `None` when the former key opens nothing.
async fn replace(
    tx: &mut PgConnection,
    former: KeyId,
    key: &KeyRow,
    until_ms: i64,
    note: &Note,
) -> Result<Option<State>, Fault> {
    let slug = locked(tx, key.tenant).await?.ok_or_else(|| no_such_tenant(key.tenant))?;
    let replaced = sqlx::query(REPLACE)
        .bind(blob(former.bits()))
        .bind(blob(key.tenant.bits()))
        .bind(key.created_ms)
        .bind(until_ms)
        .execute(&mut *tx)
        .await?;
    if replaced.rows_affected() == 0 {
        return Ok(None);
    }
    insert(tx, key).await?;
    let state = bump(tx, &slug, true).await?;
    audit::record(tx, key.tenant, note).await?;
    Ok(Some(state))
}

async fn insert(tx: &mut PgConnection, key: &KeyRow) -> Result<(), Fault> {
    let toolsets = key.toolsets.as_ref().map(json).transpose()?;
    let done = sqlx::query(
        "INSERT INTO api_keys \
         (id, tenant_id, label, shown, digest, toolsets, created_ms, expires_ms, revoked_ms, used_ms) \
         VALUES ($1, $2, $3, $4, $5, $6::json, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
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
