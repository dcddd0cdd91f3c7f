//! One tenant's issuers as requests meet them: which of them a token is from, whether it is good, and what was revoked.

use std::sync::Arc;

use patchbay_core::issuer::{IssuerRow, RevocationRow};

use crate::{Explanation, Fetch, TokenError, Verified};

/// One tenant's issuers. Cheap to share; made anew when the tenant changes.
pub struct Issuers {}

/// Where a token is shown.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The URL of the toolset, as its resource metadata gives it: the audience that a token must have, unless the issuer has
    /// others.
    pub resource: &'a str,
}

impl Issuers {
    /// The issuers of these rows. What `before` knows of those that are the same — keys, times of the last fetch — is kept.
    /// Nothing is fetched yet.
    pub fn new(
        rows: &[IssuerRow],
        revoked: &[RevocationRow],
        before: Option<&Self>,
        fetch: Arc<dyn Fetch>,
    ) -> Arc<Self> {
        let _ = (rows, revoked, before, fetch);
        todo!()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        todo!()
    }

    /// Whether one of them writes itself like this in `iss`.
    pub fn knows(&self, iss: &str) -> bool {
        let _ = iss;
        todo!()
    }

    /// Judges a token, cold: signature or introspection, claims, audience, revocations. What is good may be kept in a
    /// [`crate::TokenCache`].
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn verify(&self, token: &str, wanted: Wanted<'_>, now_ms: i64) -> Result<Arc<Verified>, TokenError> {
        let _ = (token, wanted, now_ms);
        todo!()
    }

    /// Whether a verified token may be used at this resource: by its audiences.
    pub fn fits(&self, verified: &Verified, wanted: Wanted<'_>) -> bool {
        let _ = (verified, wanted);
        todo!()
    }

    /// A number that changes whenever what was verified before must be verified again: issuers, keys that were withdrawn,
    /// revocations.
    pub fn epoch(&self) -> u64 {
        todo!()
    }

    /// All checks of a token, one by one, with what each found.
    pub async fn explain(&self, token: &str, wanted: Wanted<'_>, now_ms: i64) -> Explanation {
        let _ = (token, wanted, now_ms);
        todo!()
    }
}
