//! One tenant's issuers as requests meet them: which of them a token is from, whether it is good, and what was revoked. The
//! checks and their order are in `judge`; what the claims must say in `claims` and `person`.

mod claims;
mod issuer;
mod judge;
mod person;
mod revoked;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use patchbay_core::{
    Slug,
    issuer::{IssuerRow, Registration, RevocationRow},
};

use self::{issuer::Issuer, judge::Judge, revoked::Revocations};
use crate::{Explanation, Fetch, TokenError, Verified, explain::Walk};

/// The beginning of the next new epoch in this process.
static EPOCHS: AtomicU64 = AtomicU64::new(1);

/// One tenant's issuers. Cheap to share; made anew when the tenant changes.
pub struct Issuers {
    all: Box<[Arc<Issuer>]>,
    revoked: Arc<Revocations>,
    epoch: u64,
}

/// Where a token is shown.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The URL of the toolset, as its resource metadata gives it: the audience that a token must have, unless the issuer has
    /// others.
    pub resource: &'a str,
}

/// Where people sign in and how their client comes to a client id, to be told to who has no token.
#[derive(Debug, Clone, Copy)]
pub struct Hint<'a> {
    /// The issuer's name in the tenant.
    pub name: &'a Slug,
    /// The issuer, as in `iss`.
    pub issuer: &'a str,
    /// How clients come to a client id.
    pub registration: &'a Registration,
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
        let known = before.map_or(&[][..], |before| &before.all);
        let all: Box<[_]> = rows.iter().map(move |row| Issuer::of(row, known, &fetch)).collect();
        let revoked = Revocations::of(revoked, before.map(|before| &before.revoked));
        let same = |before: &&Self| {
            before.all.len() == all.len()
                && before.all.iter().zip(&all).all(|(old, new)| Arc::ptr_eq(old, new))
                && Arc::ptr_eq(&before.revoked, &revoked)
        };
        let epoch = before.filter(same).map_or_else(|| EPOCHS.fetch_add(1, Ordering::Relaxed), |before| before.epoch);
        Arc::new(Self { all, revoked, epoch })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether one of them writes itself like this in `iss`.
    pub fn knows(&self, iss: &str) -> bool {
        self.by_iss(iss).is_some()
    }

    /// Judges a token, cold: signature or introspection, claims, audience, revocations. What is good may be kept in a
    /// [`crate::TokenCache`].
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn verify(&self, token: &str, wanted: Wanted<'_>, now_ms: i64) -> Result<Arc<Verified>, TokenError> {
        self.judge(token, wanted, now_ms, true).await
    }

    /// The same for signed tokens alone: no issuer is asked about an opaque one.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn verify_signed(
        &self,
        token: &str,
        wanted: Wanted<'_>,
        now_ms: i64,
    ) -> Result<Arc<Verified>, TokenError> {
        self.judge(token, wanted, now_ms, false).await
    }

    /// Judges a token; with `asks`, an issuer is asked about an opaque one.
    pub(crate) async fn judge(
        &self,
        token: &str,
        wanted: Wanted<'_>,
        now_ms: i64,
        asks: bool,
    ) -> Result<Arc<Verified>, TokenError> {
        Judge { issuers: self, wanted, now_ms, asks, walk: &mut Walk::judging() }.judge(token).await
    }

    /// Whether a verified token may be used at this resource: by its audiences.
    pub fn fits(&self, verified: &Verified, wanted: Wanted<'_>) -> bool {
        self.by_name(&verified.who.issuer)
            .is_some_and(|issuer| issuer.takes(verified.audiences.iter().map(|audience| &**audience), wanted))
    }

    /// A number that changes whenever what was verified before must be verified again: issuers, keys that were withdrawn,
    /// revocations.
    pub fn epoch(&self) -> u64 {
        let versions = self.all.iter().fold(0_u64, |sum, issuer| sum.wrapping_add(issuer.keys.version()));
        let folded = (versions ^ (versions >> 32)) & u64::from(u32::MAX);
        (self.epoch << 32) | folded
    }

    /// The digest of a person of the issuer with this name, as in [`Verified::digest`].
    pub fn digest_of(&self, issuer: &Slug, subject: &str) -> Option<[u8; 16]> {
        self.by_name(issuer).map(|issuer| crate::verified::digest_of(&issuer.iss, subject))
    }

    /// The scopes that every token of the issuer with this name needs, besides those of the toolset.
    pub fn required_scopes(&self, issuer: &Slug) -> &[String] {
        self.by_name(issuer).map_or(&[], |issuer| &issuer.spec.scopes_required)
    }

    /// Where people can sign in, in the order of the rows.
    pub fn hints(&self) -> impl Iterator<Item = Hint<'_>> {
        self.all.iter().map(|issuer| Hint {
            name: &issuer.name,
            issuer: &issuer.iss,
            registration: &issuer.spec.registration,
        })
    }

    /// The issuers as they write themselves, for `authorization_servers` of the resource metadata, each once.
    pub fn iss_list(&self) -> Vec<&str> {
        let mut list: Vec<&str> = Vec::with_capacity(self.all.len());
        for issuer in &self.all {
            if !list.contains(&&*issuer.iss) {
                list.push(&issuer.iss);
            }
        }
        list
    }

    /// All checks of a token, one by one, with what each found. The same checks in the same order as [`Self::verify`] has them,
    /// but not ending at the first that fails.
    pub async fn explain(&self, token: &str, wanted: Wanted<'_>, now_ms: i64) -> Explanation {
        let mut walk = Walk::explaining();
        // Whether it is good is in the checks.
        let _ = Judge { issuers: self, wanted, now_ms, asks: true, walk: &mut walk }.judge(token).await;
        walk.into_explanation()
    }

    /// Has the keys of its issuer looked after although nothing was verified with them: one that is withdrawn shall be missed
    /// while only known tokens come.
    pub(crate) fn used(&self, verified: &Verified) {
        if let Some(issuer) = self.by_name(&verified.who.issuer) {
            issuer.keys.touch();
        }
    }

    fn by_name(&self, name: &Slug) -> Option<&Arc<Issuer>> {
        self.all.iter().find(|issuer| issuer.name == *name)
    }

    fn by_iss(&self, iss: &str) -> Option<&Arc<Issuer>> {
        self.all.iter().find(|issuer| *issuer.iss == *iss)
    }
}

impl std::fmt::Debug for Issuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.all.iter().map(|issuer| &issuer.name)).finish()
    }
}
