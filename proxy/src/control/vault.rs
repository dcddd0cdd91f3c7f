//! The tokens that the gateway has for itself at servers, kept in the store for all replicas: puts the store behind the vault
//! that the transport asks. Off the trunk, since no call waits for the store.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use patchbay_core::{ServerId, TenantId};
use patchbay_downstream::http::oauth::{StoredToken, TokenVault};
use patchbay_store::{ServerToken, Store, StoreError};

use crate::audit::now_ms;

/// Where the token of one server is.
pub(super) struct StoreVault {
    store: Arc<dyn Store>,
    tenant: TenantId,
    server: ServerId,
}

impl StoreVault {
    pub(super) fn new(store: Arc<dyn Store>, tenant: TenantId, server: ServerId) -> Arc<Self> {
        Arc::new(Self { store, tenant, server })
    }
}

impl TokenVault for StoreVault {
    fn load(&self) -> BoxFuture<'_, Result<Option<StoredToken>, String>> {
        Box::pin(async move {
            let found = self.store.server_token_load(self.tenant, self.server).await.map_err(words)?;
            Ok(found.map(|token| StoredToken { secret: token.secret, expires_ms: token.expires_ms }))
        })
    }

    fn save<'a>(&'a self, token: &'a StoredToken) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(
            async move { self.store.server_token_save(self.tenant, self.server, &stored(token)).await.map_err(words) },
        )
    }

    fn forget<'a>(&'a self, token: &'a StoredToken) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.store.server_token_forget(self.tenant, self.server, &stored(token)).await.map_err(words)
        })
    }

    fn lease(&self, holder: u64, until_ms: i64) -> BoxFuture<'_, Result<bool, String>> {
        Box::pin(async move {
            let leased = self.store.server_token_lease(self.tenant, self.server, holder, now_ms(), until_ms);
            leased.await.map_err(words)
        })
    }
}

fn stored(token: &StoredToken) -> ServerToken {
    ServerToken { secret: token.secret.clone(), expires_ms: token.expires_ms }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn words(error: StoreError) -> String {
    error.to_string()
}
