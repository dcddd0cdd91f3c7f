//! The gateway's own tokens at servers in Postgres, and the leases on getting new ones. None of it is a change of the tenant.

use async_trait::async_trait;
use patchbay_core::{ServerId, TenantId};
use sqlx::{PgConnection, postgres::PgQueryResult};

use super::{PostgresStore, ended};
use crate::{
    ServerToken, ServerTokens, StoreError, Vault,
    error::{Fault, doing},
    rows::{blob, no_such_server},
    tokens::{TokenRecord, seal},
};

const LOAD: &str = "SELECT sealed, expires_ms FROM server_tokens JOIN servers ON servers.id = server_tokens.server_id \
     WHERE server_id = $1 AND tenant_id = $2 AND sealed IS NOT NULL";

/// With the row locked: between the look and the writing, nobody replaces the token, nor seals the same one anew.
const LOCK: &str = "SELECT sealed, expires_ms FROM server_tokens JOIN servers ON servers.id = server_tokens.server_id \
     WHERE server_id = $1 AND tenant_id = $2 AND sealed IS NOT NULL \
     FOR UPDATE OF server_tokens";

#[async_trait]
impl ServerTokens for PostgresStore {
    async fn server_token_load(&self, tenant: TenantId, server: ServerId) -> Result<Option<ServerToken>, StoreError> {
        doing("read the token of a server", async {
            let record = token_of(LOAD, &mut *self.pool.acquire().await?, tenant, server).await?;
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
                 SELECT id, $3::bytea, $4::bigint FROM servers WHERE id = $1 AND tenant_id = $2 \
                 ON CONFLICT (server_id) DO UPDATE SET sealed = excluded.sealed, expires_ms = excluded.expires_ms, \
                 lease_holder = NULL, lease_until_ms = NULL",
            )
            .bind(blob(server.bits()))
            .bind(blob(tenant.bits()))
            .bind(seal(tenant, server, token, &self.vault))
            .bind(token.expires_ms)
            .execute(&self.pool)
            .await;
            if written(done)? { Ok(()) } else { Err(no_such_server(server).into()) }
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
            let done = forget(&mut tx, tenant, server, token, &self.vault).await;
            ended(tx, done).await?;
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
                 SELECT id, $3::bigint, $4::bigint FROM servers WHERE id = $1 AND tenant_id = $2 \
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
            .execute(&self.pool)
            .await;
            let taken = written(done)?;
            if taken || self.has_server(tenant, server).await? { Ok(taken) } else { Err(no_such_server(server).into()) }
        })
        .await
    }
}

impl PostgresStore {
    async fn has_server(&self, tenant: TenantId, server: ServerId) -> Result<bool, Fault> {
        let found: Option<Vec<u8>> = sqlx::query_scalar("SELECT id FROM servers WHERE id = $1 AND tenant_id = $2")
            .bind(blob(server.bits()))
            .bind(blob(tenant.bits()))
            .fetch_optional(&self.pool)
            .await?;
        Ok(found.is_some())
    }
}

/// Whether a row was written. None is when there is no such server, also when it was removed between the statement's reading and
/// its writing.
fn written(done: Result<PgQueryResult, sqlx::Error>) -> Result<bool, Fault> {
    match done {
        Ok(done) => Ok(done.rows_affected() > 0),
        Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn token_of(
    query: &'static str,
    connection: &mut PgConnection,
    tenant: TenantId,
    server: ServerId,
) -> Result<Option<TokenRecord>, Fault> {
    let query = sqlx::query_as(query).bind(blob(server.bits())).bind(blob(tenant.bits()));
    Ok(query.fetch_optional(connection).await?)
}

/// Whether the token was this one, and is forgotten now.
async fn forget(
    tx: &mut PgConnection,
    tenant: TenantId,
    server: ServerId,
    token: &ServerToken,
    vault: &Vault,
) -> Result<bool, Fault> {
    let held = token_of(LOCK, tx, tenant, server).await?;
    if !held.is_some_and(|held| held.is(token, tenant, server, vault)) {
        return Ok(false);
    }
    sqlx::query("UPDATE server_tokens SET sealed = NULL, expires_ms = NULL WHERE server_id = $1")
        .bind(blob(server.bits()))
        .execute(tx)
        .await?;
    Ok(true)
}
