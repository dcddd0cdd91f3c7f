//! Tokens that were found good, by their digests, until they expire or something is revoked: a warm call pays one SHA-256 and
//! one look-up. Shared by all tenants; an entry serves the tenant that it was made for and no other.

use std::sync::Arc;

use patchbay_core::TenantId;

use crate::{Issuers, TokenError, Verified, Wanted};

/// The cache.
pub struct TokenCache {}

impl TokenCache {
    /// A cache of at most this many tokens.
    pub fn new(tokens_max: usize) -> Self {
        let _ = tokens_max;
        todo!()
    }

    /// What is known of a token, when it was verified for this tenant and nothing has changed since; checks the audience. Never
    /// waits.
    pub fn find(
        &self,
        tenant: TenantId,
        issuers: &Issuers,
        token: &str,
        wanted: Wanted<'_>,
        now_ms: i64,
    ) -> Option<Arc<Verified>> {
        let _ = (tenant, issuers, token, wanted, now_ms);
        todo!()
    }

    /// Verifies a token that is not known, and remembers it when it is good.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn verify(
        &self,
        tenant: TenantId,
        issuers: &Issuers,
        token: &str,
        wanted: Wanted<'_>,
        now_ms: i64,
    ) -> Result<Arc<Verified>, TokenError> {
        let _ = (tenant, issuers, token, wanted, now_ms);
        todo!()
    }
}
