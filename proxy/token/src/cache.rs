//! Tokens that were found good, by their digests, until they expire or something is revoked: a warm call pays one SHA-256 and
//! one look-up. Shared by all tenants; an entry serves the tenant that it was made for and no other.

use std::sync::Arc;

use patchbay_core::TenantId;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{Issuers, TokenError, Verified, Wanted, jwt::TOKEN_BYTES_MAX, shelf::Shelf};

/// What tokens may take on average, with all that is known from them, in bytes: issuers and tenant files say how large they are.
const MEAN_BYTES_MAX: usize = 2 * 1024;
/// What one of them may take, in bytes; a larger one is judged anew each time.
const KEPT_BYTES_MAX: usize = 16 * 1024;
/// How often a token is judged when keys of its issuer are withdrawn while it is: what was judged by keys that count no more is
/// not kept.
const ROUNDS: usize = 3;

/// The cache.
pub struct TokenCache {
    known: Shelf<Place, Known>,
}

/// Where a token is kept: whose it is, and the first half of its digest.
type Place = (TenantId, [u8; 16]);

struct Known {
    digest: [u8; 32],
    /// The [`Issuers::epoch`] that it was verified in.
    epoch: u64,
    verified: Arc<Verified>,
}

impl TokenCache {
    /// A cache of at most this many tokens, and of fewer when they are large.
    pub fn new(tokens_max: usize) -> Self {
        Self { known: Shelf::new(tokens_max).of_weight(tokens_max.saturating_mul(MEAN_BYTES_MAX)) }
    }

    /// How many tokens are remembered.
    pub fn count(&self) -> usize {
        self.known.count()
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
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let digest = digest_of(token);
        let of_now = |known: &Known| {
            let same = bool::from(known.digest.ct_eq(&digest)) && known.epoch == issuers.epoch();
            (same && issuers.fits(&known.verified, wanted)).then(|| known.verified.clone())
        };
        let verified = self.known.find(&place(tenant, &digest), now_ms, of_now)?;
        issuers.used(&verified);
        Some(verified)
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
        self.judged(tenant, issuers, token, wanted, now_ms, true).await
    }

    /// The same for signed tokens alone: no issuer is asked about an opaque one.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn verify_signed(
        &self,
        tenant: TenantId,
        issuers: &Issuers,
        token: &str,
        wanted: Wanted<'_>,
        now_ms: i64,
    ) -> Result<Arc<Verified>, TokenError> {
        self.judged(tenant, issuers, token, wanted, now_ms, false).await
    }

    async fn judged(
        &self,
        tenant: TenantId,
        issuers: &Issuers,
        token: &str,
        wanted: Wanted<'_>,
        now_ms: i64,
        asks: bool,
    ) -> Result<Arc<Verified>, TokenError> {
        // No closure, whose future could not be sent to another thread.
        let judge = || issuers.judge(token, wanted, now_ms, asks);
        let mut epoch = issuers.epoch();
        for _ in 1..ROUNDS {
            let verified = judge().await?;
            let after = issuers.epoch();
            if epoch == after {
                self.keep(tenant, token, epoch, &verified, now_ms);
                return Ok(verified);
            }
            epoch = after;
        }
        judge().await
    }

    fn keep(&self, tenant: TenantId, token: &str, epoch: u64, verified: &Arc<Verified>, now_ms: i64) {
        let bytes = verified.bytes();
        if bytes > KEPT_BYTES_MAX {
            return;
        }
        let digest = digest_of(token);
        let known = Known { digest, epoch, verified: verified.clone() };
        self.known.put_weighing(bytes, place(tenant, &digest), known, verified.until_ms, now_ms);
    }
}

impl std::fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenCache").finish_non_exhaustive()
    }
}

fn digest_of(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn place(tenant: TenantId, digest: &[u8; 32]) -> Place {
    let (half, _) = digest.split_at(16);
    (tenant, half.try_into().expect("the half of 32 bytes is 16 bytes"))
}
