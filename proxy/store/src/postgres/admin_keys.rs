//! Admin keys in Postgres. One of a tenant is noted in its audit, others in that of no tenant; neither is a change of a tenant.

use async_trait::async_trait;
use patchbay_core::{
    KeyId, TenantId,
    admin::{AdminKeyRow, Grant},
    audit::Action,
};
use sqlx::PgConnection;

use super::{PostgresStore, audit, ended, lock, locked};
use crate::{
    AdminKeys, Note, StoreError,
    admin::{AdminKeyRecord, EXPIRE, FIND, INSERT, LIST, TOUCH, TOUCH_EVERY_MS, key_exists, no_tenant_named},
    error::{Fault, doing},
    rows::{all, bits, blob},
};

const ANY: &str = "SELECT EXISTS (SELECT 1 FROM admin_keys)";

#[async_trait]
impl AdminKeys for PostgresStore {
    async fn admin_key_create(&self, key: &AdminKeyRow, note: &Note) -> Result<(), StoreError> {
        doing("make an admin key", async {
            let mut tx = self.writing().await?;
            let done = async {
                let tenant = tenant_of(&mut tx, &key.grant).await?;
                insert(&mut tx, key, tenant, note).await?;
                Ok(true)
            };
            let done = done.await;
            ended(tx, done).await?;
            Ok(())
        })
        .await
    }

    async fn admin_key_bootstrap(&self, key: &AdminKeyRow, note: &Note) -> Result<bool, StoreError> {
        doing("make the first admin key", async {
            // Each start asks, and nearly always there is one: then nobody is held up.
            if sqlx::query_scalar(ANY).fetch_one(&self.pool).await? {
                return Ok(false);
            }
            let mut tx = self.writing().await?;
            let done = first(&mut tx, key, note).await;
            ended(tx, done).await
        })
        .await
    }

    async fn admin_key_find(&self, digest: [u8; 32]) -> Result<Option<AdminKeyRow>, StoreError> {
        doing("look for an admin key", async {
            let query = sqlx::query_as(FIND).bind(digest.to_vec());
            let record: Option<AdminKeyRecord> = query.fetch_optional(&self.pool).await?;
            Ok(record.map(AdminKeyRow::try_from).transpose()?)
        })
        .await
    }

    async fn admin_key_list(&self) -> Result<Vec<AdminKeyRow>, StoreError> {
        doing("list the admin keys", async {
            let records: Vec<AdminKeyRecord> = sqlx::query_as(LIST).fetch_all(&self.pool).await?;
            Ok(all(records)?)
        })
        .await
    }

    async fn admin_key_revoke(&self, key: KeyId, at_ms: i64, note: &Note) -> Result<bool, StoreError> {
        doing("revoke an admin key", async {
            let mut tx = self.writing().await?;
            let done = revoke(&mut tx, key, at_ms, note).await;
            ended(tx, done).await
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
            let done = replace(&mut tx, former, key, until_ms, note).await;
            ended(tx, done).await
        })
        .await
    }

    async fn admin_key_touch(&self, key: KeyId, at_ms: i64) -> Result<(), StoreError> {
        doing("note the last use of an admin key", async {
            sqlx::query(TOUCH)
                .bind(blob(key.bits()))
                .bind(at_ms)
                .bind(at_ms.saturating_sub(TOUCH_EVERY_MS))
                .execute(&self.pool)
                .await?;
            Ok(())
        })
        .await
    }
}

/// Adds a key when there is none. The table is locked for it, since nothing else keeps two from finding it empty at once; whoever
/// adds a key waits, and who only looks one up does not.
async fn first(tx: &mut PgConnection, key: &AdminKeyRow, note: &Note) -> Result<bool, Fault> {
    let tenant = tenant_of(tx, &key.grant).await?;
    sqlx::query("LOCK TABLE admin_keys IN SHARE ROW EXCLUSIVE MODE").execute(&mut *tx).await?;
    if sqlx::query_scalar(ANY).fetch_one(&mut *tx).await? {
        return Ok(false);
    }
    insert(tx, key, tenant, note).await?;
    Ok(true)
}

async fn revoke(tx: &mut PgConnection, key: KeyId, at_ms: i64, note: &Note) -> Result<bool, Fault> {
    let found: Option<Option<Vec<u8>>> = sqlx::query_scalar("SELECT tenant_id FROM admin_keys WHERE id = $1")
        .bind(blob(key.bits()))
        .fetch_optional(&mut *tx)
        .await?;
    let Some(tenant) = found else { return Ok(false) };
    let tenant = tenant.map(|id| bits("tenant id", &id)).transpose()?.map(TenantId::from_bits);
    if let Some(tenant) = tenant
        && locked(tx, tenant).await?.is_none()
    {
        return Ok(false);
    }
    let revoked = sqlx::query("UPDATE admin_keys SET revoked_ms = $2 WHERE id = $1 AND revoked_ms IS NULL")
        .bind(blob(key.bits()))
        .bind(at_ms)
        .execute(&mut *tx)
        .await?;
    if revoked.rows_affected() == 0 {
        return Ok(false);
    }
    audit::record_as(tx, tenant, Action::ConfigUpdate, note).await?;
    Ok(true)
}

/// Its tenant is locked first, as by every change of it.
async fn replace(
    tx: &mut PgConnection,
    former: KeyId,
    key: &AdminKeyRow,
    until_ms: i64,
    note: &Note,
) -> Result<bool, Fault> {
    let tenant = tenant_of(tx, &key.grant).await?;
    let expiring = sqlx::query(EXPIRE).bind(blob(former.bits())).bind(until_ms).bind(key.created_ms);
    if expiring.execute(&mut *tx).await?.rows_affected() == 0 {
        return Ok(false);
    }
    insert(tx, key, tenant, note).await?;
    Ok(true)
}

/// Adds a key and its record.
async fn insert(tx: &mut PgConnection, key: &AdminKeyRow, tenant: Option<TenantId>, note: &Note) -> Result<(), Fault> {
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

/// The tenant that a key is for, locked like by a change of it, so that it does not go meanwhile.
async fn tenant_of(tx: &mut PgConnection, grant: &Grant) -> Result<Option<TenantId>, Fault> {
    let Some(slug) = grant.tenant() else { return Ok(None) };
    lock(tx, slug).await?;
    let id: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT id FROM tenants WHERE slug = $1").bind(slug.as_str()).fetch_optional(tx).await?;
    let id = id.ok_or_else(|| no_tenant_named(slug))?;
    Ok(Some(TenantId::from_bits(bits("tenant id", &id)?)))
}
