//! The gateway's own tokens at servers in Sqlite, and the leases on getting new ones. None of it is a change of the tenant.

use async_trait::async_trait;
use patchbay_core::{ServerId, TenantId};
use sqlx::SqliteConnection;

use super::SqliteStore;
use crate::{
    ServerToken, ServerTokens, StoreError, Vault,
    error::{Fault, doing},
    rows::{blob, no_such_server},
    tokens::{TokenRecord, seal},
};

const LOAD: &str = "SELECT sealed, expires_ms FROM server_tokens JOIN servers ON servers.id = server_tokens.server_id \
     WHERE server_id = $1 AND tenant_id = $2 AND sealed IS NOT NULL";

#[async_trait]
impl ServerTokens for SqliteStore {
    async fn server_token_load(&self, tenant: TenantId, server: ServerId) -> Result<Option<ServerToken>, StoreError> {
        doing("read the token of a server", async {
            let record = token_of(&mut *self.read.acquire().await?, tenant, server).await?;
            Ok(record.and_then(|record| record.open(tenant, server, &self.vault)))
        })
        .await
    }

    async fn server_token_save(
        &self,
        tenant: TenantId,
        server: ServerId,
        token: &ServerToken,
    ) -> Result<(), StoreError> {
        doing("store the token of a server", async {
            let done = sqlx::query(
                "INSERT INTO server_tokens (server_id, sealed, expires_ms) \
                 SELECT id, $3, $4 FROM servers WHERE id = $1 AND tenant_id = $2 \
                 ON CONFLICT (server_id) DO UPDATE SET sealed = excluded.sealed, expires_ms = excluded.expires_ms, \
                 lease_holder = NULL, lease_until_ms = NULL",
            )
            .bind(blob(server.bits()))
            .bind(blob(tenant.bits()))
            .bind(seal(tenant, server, token, &self.vault))
            .bind(token.expires_ms)
            .execute(&self.write)
            .await?;
            if done.rows_affected() > 0 { Ok(()) } else { Err(no_such_server(server).into()) }
        })
        .await
    }

    async fn server_token_forget(
        &self,
        tenant: TenantId,
        server: ServerId,
        token: &ServerToken,
    ) -> Result<(), StoreError> {
        doing("forget the token of a server", async {
            let mut tx = self.writing().await?;
            if forget(&mut tx, tenant, server, token, &self.vault).await? {
                tx.commit().await?;
            }
            Ok(())
        })
        .await
    }

    async fn server_token_lease(
        &self,
        tenant: TenantId,
        server: ServerId,
        holder: u64,
        now_ms: i64,
        until_ms: i64,
    ) -> Result<bool, StoreError> {
        doing("lease the token of a server", async {
            let done = sqlx::query(
                "INSERT INTO server_tokens (server_id, lease_holder, lease_until_ms) \
                 SELECT id, $3, $4 FROM servers WHERE id = $1 AND tenant_id = $2 \
                 ON CONFLICT (server_id) DO UPDATE \
                 SET lease_holder = excluded.lease_holder, lease_until_ms = excluded.lease_until_ms \
                 WHERE server_tokens.lease_until_ms IS NULL OR server_tokens.lease_until_ms <= $5 \
                 OR server_tokens.lease_holder = excluded.lease_holder",
            )
            .bind(blob(server.bits()))
            .bind(blob(tenant.bits()))
            .bind(holder.cast_signed())
            .bind(until_ms)
            .bind(now_ms)
            .execute(&self.write)
            .await?;
            let taken = done.rows_affected() > 0;
            if taken || self.has_server(tenant, server).await? { Ok(taken) } else { Err(no_such_server(server).into()) }
        })
        .await
    }
}

impl SqliteStore {
    async fn has_server(&self, tenant: TenantId, server: ServerId) -> Result<bool, Fault> {
        let found: Option<Vec<u8>> = sqlx::query_scalar("SELECT id FROM servers WHERE id = $1 AND tenant_id = $2")
            .bind(blob(server.bits()))
            .bind(blob(tenant.bits()))
            .fetch_optional(&self.read)
            .await?;
        Ok(found.is_some())
    }
}

async fn token_of(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    server: ServerId,
) -> Result<Option<TokenRecord>, Fault> {
    let query = sqlx::query_as(LOAD).bind(blob(server.bits())).bind(blob(tenant.bits()));
    Ok(query.fetch_optional(connection).await?)
}

/// Whether the token was this one, and is forgotten now.
async fn forget(
    tx: &mut SqliteConnection,
    tenant: TenantId,
    server: ServerId,
    token: &ServerToken,
    vault: &Vault,
) -> Result<bool, Fault> {
    let held = token_of(tx, tenant, server).await?;
    if !held.is_some_and(|held| held.is(token, tenant, server, vault)) {
        return Ok(false);
    }
    sqlx::query("UPDATE server_tokens SET sealed = NULL, expires_ms = NULL WHERE server_id = $1")
        .bind(blob(server.bits()))
        .execute(tx)
        .await?;
    Ok(true)
}
