//! Admin keys in SQLite. One of a tenant is noted in its audit, others in that of no tenant; neither is a change of a tenant.

use async_trait::async_trait;
use patchbay_core::{
    KeyId, TenantId,
    admin::{AdminKeyRow, Grant},
    audit::Action,
};
use sqlx::SqliteConnection;

use super::{SqliteStore, audit};
use crate::{
    AdminKeys, Note, StoreError,
    admin::{AdminKeyRecord, EXPIRE, FIND, INSERT, LIST, TOUCH, TOUCH_EVERY_MS, key_exists, no_tenant_named},
    error::{Fault, doing},
    rows::{all, bits, blob},
};

#[async_trait]
impl AdminKeys for SqliteStore {
    async fn admin_key_create(&self, key: &AdminKeyRow, note: &Note) -> Result<(), StoreError> {
        doing("make an admin key", async {
            let mut tx = self.writing().await?;
            insert(&mut tx, key, note).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    async fn admin_key_bootstrap(&self, key: &AdminKeyRow, note: &Note) -> Result<bool, StoreError> {
        doing("make the first admin key", async {
            let mut tx = self.writing().await?;
            let any: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM admin_keys)").fetch_one(&mut *tx).await?;
            if any {
                return Ok(false);
            }
            insert(&mut tx, key, note).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    async fn admin_key_find(&self, digest: [u8; 32]) -> Result<Option<AdminKeyRow>, StoreError> {
        doing("look for an admin key", async {
            let query = sqlx::query_as(FIND).bind(digest.to_vec());
            let record: Option<AdminKeyRecord> = query.fetch_optional(&self.read).await?;
            Ok(record.map(AdminKeyRow::try_from).transpose()?)
        })
        .await
    }

    async fn admin_key_list(&self) -> Result<Vec<AdminKeyRow>, StoreError> {
        doing("list the admin keys", async {
            let records: Vec<AdminKeyRecord> = sqlx::query_as(LIST).fetch_all(&self.read).await?;
            Ok(all(records)?)
        })
        .await
    }

    async fn admin_key_revoke(&self, key: KeyId, at_ms: i64, note: &Note) -> Result<bool, StoreError> {
        doing("revoke an admin key", async {
            let mut tx = self.writing().await?;
            let revoked: Option<Option<Vec<u8>>> = sqlx::query_scalar(
                "UPDATE admin_keys SET revoked_ms = $2 WHERE id = $1 AND revoked_ms IS NULL RETURNING tenant_id",
            )
            .bind(blob(key.bits()))
            .bind(at_ms)
            .fetch_optional(&mut *tx)
            .await?;
            let Some(tenant) = revoked else { return Ok(false) };
            let tenant = tenant.map(|id| bits("tenant id", &id)).transpose()?.map(TenantId::from_bits);
            audit::record_as(&mut tx, tenant, Action::ConfigUpdate, note).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    async fn admin_key_rotate(
        &self,
        former: KeyId,
        key: &AdminKeyRow,
        until_ms: i64,
        note: &Note,
    ) -> Result<bool, StoreError> {
        doing("replace an admin key", async {
            let mut tx = self.writing().await?;
            let expiring = sqlx::query(EXPIRE).bind(blob(former.bits())).bind(until_ms).bind(key.created_ms);
            if expiring.execute(&mut *tx).await?.rows_affected() == 0 {
                return Ok(false);
            }
            insert(&mut tx, key, note).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    async fn admin_key_touch(&self, key: KeyId, at_ms: i64) -> Result<(), StoreError> {
        doing("note the last use of an admin key", async {
            sqlx::query(TOUCH)
                .bind(blob(key.bits()))
                .bind(at_ms)
                .bind(at_ms.saturating_sub(TOUCH_EVERY_MS))
                .execute(&self.write)
                .await?;
            Ok(())
        })
        .await
    }
}

/// Adds a key and its record.
async fn insert(tx: &mut SqliteConnection, key: &AdminKeyRow, note: &Note) -> Result<(), Fault> {
    let tenant = tenant_of(tx, &key.grant).await?;
    let done = sqlx::query(INSERT)
        .bind(blob(key.id.bits()))
        .bind(tenant.map(|tenant| blob(tenant.bits())))
        .bind(key.grant.role())
        .bind(&key.label)
        .bind(&key.shown)
        .bind(key.digest.to_vec())
        .bind(key.created_ms)
        .bind(key.expires_ms)
        .bind(key.revoked_ms)
        .bind(key.used_ms)
        .execute(&mut *tx)
        .await?;
    if done.rows_affected() == 0 {
        return Err(key_exists(key.id).into());
    }
    audit::record_as(tx, tenant, Action::ConfigUpdate, note).await
}

/// The tenant that a key is for.
async fn tenant_of(tx: &mut SqliteConnection, grant: &Grant) -> Result<Option<TenantId>, Fault> {
    let Some(slug) = grant.tenant() else { return Ok(None) };
    let id: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT id FROM tenants WHERE slug = $1").bind(slug.as_str()).fetch_optional(tx).await?;
    let id = id.ok_or_else(|| no_tenant_named(slug))?;
    Ok(Some(TenantId::from_bits(bits("tenant id", &id)?)))
}
