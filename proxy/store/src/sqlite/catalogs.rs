//! Last good catalogs in SQLite.

use async_trait::async_trait;
use patchbay_core::{ServerId, TenantId};

use super::SqliteStore;
use crate::{
    Catalogs, StoreError,
    error::doing,
    rows::{CatalogRecord, all, blob, no_such_server},
};

#[async_trait]
impl Catalogs for SqliteStore {
    async fn catalog_put(&self, tenant: TenantId, server: ServerId, catalog: &[u8]) -> Result<(), StoreError> {
        doing("store the catalog of a server", async {
            let done = sqlx::query(
                "INSERT INTO catalogs (server_id, bytes) SELECT id, $3 FROM servers WHERE id = $1 AND tenant_id = $2 \
                 ON CONFLICT (server_id) DO UPDATE SET bytes = excluded.bytes",
            )
            .bind(blob(server.bits()))
            .bind(blob(tenant.bits()))
            .bind(catalog.to_vec())
            .execute(&self.write)
            .await?;
            if done.rows_affected() == 0 { Err(no_such_server(server).into()) } else { Ok(()) }
        })
        .await
    }

    async fn catalog_list(&self, tenant: TenantId) -> Result<Vec<(ServerId, Vec<u8>)>, StoreError> {
        doing("read the catalogs of a tenant", async {
            let records: Vec<CatalogRecord> = sqlx::query_as(
                "SELECT server_id, bytes FROM catalogs JOIN servers ON servers.id = catalogs.server_id \
                 WHERE tenant_id = $1 ORDER BY server_id",
            )
            .bind(blob(tenant.bits()))
            .fetch_all(&self.read)
            .await?;
            Ok(all(records)?)
        })
        .await
    }
}
