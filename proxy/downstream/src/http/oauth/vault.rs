//! The vault as the keeper uses it: every question has an end, and a vault that cannot answer is like one that is empty. Holds
//! the lease that lets one replica at a time ask for a token.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::{
    StoredToken, TokenVault,
    paper::{ms, now_ms},
};

/// How long one question to the vault may take.
const VAULT_PATIENCE: Duration = Duration::from_secs(3);

/// A vault, maybe none.
pub(super) struct Vault {
    inner: Option<Arc<dyn TokenVault>>,
    holder: u64,
}

impl Vault {
    pub(super) fn new(inner: Option<Arc<dyn TokenVault>>) -> Self {
        // Without the highest bit: stores count with a sign.
        Self { inner, holder: u64::from_le_bytes(patchbay_core::random_bytes()) >> 1 }
    }

    pub(super) async fn load(&self) -> Option<StoredToken> {
        let vault = self.inner.as_ref()?;
        answered("loaded", vault.load()).await.flatten()
    }

    pub(super) async fn save(&self, token: &StoredToken) {
        if let Some(vault) = &self.inner {
            answered("saved", vault.save(token)).await;
        }
    }

    pub(super) async fn forget(&self, token: &StoredToken) {
        if let Some(vault) = &self.inner {
            answered("forgotten", vault.forget(token)).await;
        }
    }

    /// Whether this replica may ask for a token for so long.
    pub(super) async fn lease(&self, life: Duration) -> bool {
        match &self.inner {
            Some(vault) => answered("leased", vault.lease(self.holder, now_ms() + ms(life))).await.unwrap_or(true),
            None => true,
        }
    }

    /// Lets others ask.
    pub(super) async fn release(&self) {
        if let Some(vault) = &self.inner {
            answered("released", vault.lease(self.holder, now_ms())).await;
        }
    }
}

async fn answered<T>(what: &str, question: BoxFuture<'_, Result<T, String>>) -> Option<T> {
    let error = match timeout(VAULT_PATIENCE, question).await {
        Ok(Ok(answer)) => return Some(answer),
        Ok(Err(error)) => error,
        Err(_) => format!("no answer within {} ms", VAULT_PATIENCE.as_millis()),
    };
    tracing::warn!(error, "the token for a server could not be {what} in the store; this replica goes on without");
    None
}
