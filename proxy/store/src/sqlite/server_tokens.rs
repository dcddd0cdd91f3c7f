//! The gateway's own tokens at servers.

use async_trait::async_trait;
use patchbay_core::{ServerId, TenantId};

use super::SqliteStore;
use crate::{ServerToken, ServerTokens, StoreError};

#[async_trait]
impl ServerTokens for SqliteStore {
    async fn server_token_load(&self, tenant: TenantId, server: ServerId) -> Result<Option<ServerToken>, StoreError> {
        let _ = (tenant, server);
        todo!()
    }

    async fn server_token_save(
        &self,
        tenant: TenantId,
        server: ServerId,
        token: &ServerToken,
    ) -> Result<(), StoreError> {
        let _ = (tenant, server, token);
        todo!()
    }

    async fn server_token_forget(
        &self,
        tenant: TenantId,
        server: ServerId,
        token: &ServerToken,
    ) -> Result<(), StoreError> {
        let _ = (tenant, server, token);
        todo!()
    }

    async fn server_token_lease(
        &self,
        tenant: TenantId,
        server: ServerId,
        holder: u64,
        now_ms: i64,
        until_ms: i64,
    ) -> Result<bool, StoreError> {
        let _ = (tenant, server, holder, now_ms, until_ms);
        todo!()
    }
}
