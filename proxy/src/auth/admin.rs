//! Who administers: somebody with an admin key, which is looked up in the store at each request so that a revoked one is refused by
//! all replicas at once, or with a token of one of the operator's own issuers. What they may do is held against each request by the
//! admin API. API keys of tenants open nothing here.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, header};
use patchbay_config::{AdminConfig, GroupGrant};
use patchbay_core::{
    KeyId, TenantId,
    admin::{AdminKeyRow, Grant},
    audit::Actor,
    issuer::{IssuerDoc, IssuerRow},
    model::Secrets,
};
use patchbay_token::{Fetch, Issuers, TokenCache, TokenError, Verified, Wanted};
use secrecy::{ExposeSecret, SecretString};
use tracing::debug;

use super::api_key;
use crate::{app::App, metrics::Credential};

/// What every admin key begins with. No API key of a tenant does.
pub(crate) const PREFIX: &str = "pba_";
/// Characters of a key that stay visible in lists.
const SHOWN_CHARS: usize = 12;
/// The longest admin key that is looked at, in bytes.
const ADMIN_KEY_BYTES_MAX: usize = 256;
/// Admins' tokens that are remembered as good.
const ADMIN_TOKENS_MAX: usize = 1024;
/// Admin keys that are remembered as good, so that they are looked up also while sign-ins of their address fail.
const ADMIN_KEYS_KNOWN_MAX: usize = 1024;
/// How often the use of a key is written down.
const TOUCH_MS: i64 = 60_000;
/// The tokens of admins are of no tenant.
const NO_TENANT: TenantId = TenantId::from_bits(0);

/// An admin key that was just made: the one moment in which it exists in the clear.
#[derive(Debug)]
pub(crate) struct NewAdminKey {
    /// The key, to be shown once.
    pub(crate) secret: SecretString,
    /// What the store keeps.
    pub(crate) row: AdminKeyRow,
}

impl NewAdminKey {
    /// Makes a key of 256 random bits.
    pub(crate) fn generate(label: String, grant: Grant, created_ms: i64, expires_ms: Option<i64>) -> Self {
        let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(patchbay_core::random_bytes::<32>()));
        Self::given(secret.into(), label, grant, created_ms, expires_ms)
    }

    /// The key that the operator chose.
    pub(crate) fn given(
        secret: SecretString,
        label: String,
        grant: Grant,
        created_ms: i64,
        expires_ms: Option<i64>,
    ) -> Self {
        let row = AdminKeyRow {
            id: KeyId::random(),
            label,
            shown: secret.expose_secret().chars().take(SHOWN_CHARS).collect(),
            digest: api_key::digest_of(secret.expose_secret()),
            grant,
            created_ms,
            expires_ms,
            revoked_ms: None,
            used_ms: None,
        };
        Self { secret, row }
    }
}

/// Somebody who administers.
#[derive(Debug)]
pub(crate) struct Known {
    /// Who it is to the audit.
    pub(crate) actor: Actor,
    /// What they may do.
    pub(crate) grants: Vec<Grant>,
}

/// Why nobody is let in.
#[derive(Debug)]
pub(crate) enum Refused {
    /// There is no credential.
    Missing,
    /// There are several, or another scheme than `Bearer`.
    Malformed,
    /// It opens nothing; the word is for the audit and the metrics alone.
    Unknown(&'static str),
    /// Somebody whom an issuer knows, and who has no role; the word says what is missing.
    Roleless(Actor, &'static str),
    /// Too many sign-ins of the address have failed: after this time another one may.
    Crowded(Duration),
    /// Nobody can say now; the sentence says who does not answer.
    Away(&'static str),
}

/// Judges admins' credentials.
pub(crate) struct Admins {
    issuers: Arc<Issuers>,
    tokens: TokenCache,
    /// The resource of tokens: a text that is in none. For whom a token must be is in the issuers' audiences.
    nowhere: String,
    grants: Vec<GroupGrant>,
    /// When the use of keys that are good was written down last, by their digests.
    known: Mutex<HashMap<[u8; 32], i64>>,
}

impl Admins {
    /// By what the operator decided. Nothing is fetched yet.
    pub(crate) fn new(config: &AdminConfig, fetch: Arc<dyn Fetch>) -> Self {
        let rows: Vec<_> = config.issuers.iter().map(|(name, doc)| row(name.clone(), doc, config)).collect();
        Self {
            issuers: Issuers::new(&rows, &[], None, fetch),
            tokens: TokenCache::new(ADMIN_TOKENS_MAX),
            nowhere: format!("nowhere:{}", URL_SAFE_NO_PAD.encode(patchbay_core::random_bytes::<16>())),
            grants: config.grants.clone(),
            known: Mutex::default(),
        }
    }

    /// Who shows this at this address. Every credential that opens nothing is told the same, whatever it was.
    ///
    /// # Errors
    /// [`Refused`].
    pub(crate) async fn identify(
        &self,
        app: &App,
        headers: &HeaderMap,
        address: IpAddr,
        now_ms: i64,
    ) -> Result<Known, Refused> {
        let credential = bearer(headers)?;
        let judged = if credential.starts_with(PREFIX) {
            self.by_key(app, credential, address, now_ms).await
        } else if credential.starts_with(api_key::PREFIX) || self.issuers.is_empty() {
            // A tenant's key is never shown to an issuer.
            Err(Refused::Unknown("admin_not_taken"))
        } else {
            self.by_token(app, credential, address, now_ms).await
        };
        match judged {
            Ok(known) => {
                app.metrics.signed_in(Credential::Admin);
                Ok(known)
            }
            Err(Refused::Unknown(reason)) => {
                app.metrics.sign_in_refused(Credential::Admin, reason);
                app.limits.admins.fail(address).await.map_err(Refused::Crowded)?;
                Err(Refused::Unknown(reason))
            }
            Err(other) => Err(other),
        }
    }

    async fn by_key(&self, app: &App, key: &str, address: IpAddr, now_ms: i64) -> Result<Known, Refused> {
        if key.len() > ADMIN_KEY_BYTES_MAX {
            return Err(Refused::Unknown("admin_key_unknown"));
        }
        let digest = api_key::digest_of(key);
        if !self.known().contains_key(&digest) {
            app.limits.admins.may_fail_again(address).await.map_err(Refused::Crowded)?;
        }
        let found = app.store.admin_key_find(digest).await.map_err(|error| {
            debug!(%error, "an admin key cannot be looked up");
            Refused::Away("the store does not answer now, and admin keys are looked up there: try again")
        })?;
        match found {
            Some(row) if row.is_active(now_ms) => {
                self.used(app, digest, row.id, now_ms);
                Ok(Known { actor: Actor::AdminKey(row.id), grants: vec![row.grant] })
            }
            other => {
                self.known().remove(&digest);
                Err(Refused::Unknown(match other {
                    None => "admin_key_unknown",
                    Some(row) if row.revoked_ms.is_some() => "admin_key_revoked",
                    Some(_) => "admin_key_expired",
                }))
            }
        }
    }

    /// Notes that the key is good, and has its use written down now and then, which the request does not wait for.
    fn used(&self, app: &App, digest: [u8; 32], key: KeyId, now_ms: i64) {
        let mut known = self.known();
        if known.get(&digest).is_some_and(|touched_ms| now_ms - touched_ms < TOUCH_MS) {
            return;
        }
        if known.len() >= ADMIN_KEYS_KNOWN_MAX && !known.contains_key(&digest) {
            known.clear();
        }
        known.insert(digest, now_ms);
        drop(known);
        let store = app.store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.admin_key_touch(key, now_ms).await {
                debug!(%error, "the use of an admin key is not written down");
            }
        });
    }

    fn known(&self) -> MutexGuard<'_, HashMap<[u8; 32], i64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn by_token(&self, app: &App, token: &str, address: IpAddr, now_ms: i64) -> Result<Known, Refused> {
        let wanted = Wanted { resource: &self.nowhere };
        if let Some(verified) = self.tokens.find(NO_TENANT, &self.issuers, token, wanted, now_ms) {
            return self.roles_of(&verified);
        }
        app.limits.admins.may_fail_again(address).await.map_err(Refused::Crowded)?;
        // Boxed, since it is large and seldom needed.
        match Box::pin(self.tokens.verify(NO_TENANT, &self.issuers, token, wanted, now_ms)).await {
            Ok(verified) => self.roles_of(&verified),
            Err(TokenError::Refused(reason)) => Err(Refused::Unknown(reason.as_str())),
            Err(TokenError::Unavailable { .. }) => {
                app.metrics.sign_in_unavailable();
                Err(Refused::Away("the issuer of the token cannot be asked now: try again"))
            }
        }
    }

    /// What somebody of an issuer may do, by the groups that it vouches for.
    fn roles_of(&self, verified: &Verified) -> Result<Known, Refused> {
        let (actor, issuer) = (Actor::Token(verified.who.clone()), &verified.who.issuer);
        if !verified.scopes.cover(self.issuers.required_scopes(issuer).iter().map(String::as_str)) {
            return Err(Refused::Roleless(actor, "admin_scopes"));
        }
        let theirs = |given: &&GroupGrant| {
            given.issuer.as_ref().is_none_or(|of| of == issuer)
                && verified.groups.iter().any(|group| **group == *given.group)
        };
        let mut grants: Vec<Grant> = Vec::new();
        for given in self.grants.iter().filter(theirs) {
            if !grants.contains(&given.grant) {
                grants.push(given.grant.clone());
            }
        }
        if grants.is_empty() { Err(Refused::Roleless(actor, "admin_no_role")) } else { Ok(Known { actor, grants }) }
    }
}

/// An issuer of admins as tokens are judged by: the address of the admin API is an audience besides those that it has.
fn row(slug: patchbay_core::Slug, doc: &IssuerDoc, config: &AdminConfig) -> IssuerRow {
    let mut spec = doc.spec.clone();
    if let Some(url) = &config.public_url {
        // Providers differ in whether a bare origin has a slash at its end.
        let bare = url.as_str().trim_end_matches('/');
        spec.audiences.extend([bare.to_owned(), format!("{bare}/")]);
    }
    let given = |(name, secret): (&String, &Option<SecretString>)| Some((name.clone(), secret.clone()?));
    IssuerRow { slug, spec, secrets: Secrets(doc.secrets.iter().filter_map(given).collect()) }
}

/// The one credential of a request. Nothing else than `Authorization` is looked at.
fn bearer(headers: &HeaderMap) -> Result<&str, Refused> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Refused::Missing)?;
    let (scheme, credential) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Refused::Malformed)?;
    if values.next().is_some() || !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refused::Malformed);
    }
    Ok(credential.trim())
}

#[cfg(test)]
mod tests;
