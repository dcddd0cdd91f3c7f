//! The gateway's own tokens at servers, between sealed rows and values. When they are fetched, and by whom, is not decided here.

use patchbay_core::{ServerId, TenantId};
use secrecy::ExposeSecret;
use sqlx::FromRow;
use tracing::warn;

use crate::{
    ServerToken,
    vault::{Bound, Of, Vault},
};

/// A token as its row has it.
#[derive(FromRow)]
pub(crate) struct TokenRecord {
    pub(crate) sealed: Vec<u8>,
    expires_ms: i64,
}

impl TokenRecord {
    /// The token, or `None` when it cannot be opened: it is then as good as none, since another one can be got.
    pub(crate) fn open(&self, tenant: TenantId, server: ServerId, vault: &Vault) -> Option<ServerToken> {
        match vault.open(bound(tenant, server), &self.sealed) {
            Ok(secret) => Some(ServerToken { secret, expires_ms: self.expires_ms }),
            Err(closed) => {
                warn!(
                    tenant.id = %tenant,
                    server.id = %server,
                    "the stored token of a server cannot be opened: {closed}; it is taken for lost"
                );
                None
            }
        }
    }

    /// Whether it is this token.
    pub(crate) fn is(&self, token: &ServerToken, tenant: TenantId, server: ServerId, vault: &Vault) -> bool {
        self.expires_ms == token.expires_ms
            && self
                .open(tenant, server, vault)
                .is_some_and(|held| held.secret.expose_secret() == token.secret.expose_secret())
    }
}

pub(crate) fn seal(tenant: TenantId, server: ServerId, token: &ServerToken, vault: &Vault) -> Vec<u8> {
    vault.seal(bound(tenant, server), token.secret.expose_secret())
}

pub(crate) fn bound<'a>(tenant: TenantId, server: ServerId) -> Bound<'a> {
    Bound { tenant, of: Of::Token(server), name: "server token" }
}
