//! One issuer: what the operator says of it, its keys, and how it is asked about opaque tokens. It outlives the rows that it was
//! made from as long as they stay the same, and with it what was fetched and remembered.

use std::{sync::Arc, time::Duration};

use patchbay_core::{
    Slug,
    issuer::{INTROSPECTION_SECRET, IssuerRow, IssuerSpec},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::{
    Fetch, Wanted,
    explain::Failed,
    introspect::Introspector,
    keys::{IssuerKeys, KeySet, Unavailable},
    shelf::Shelf,
};

/// Tokens of one issuer that wait for its keys at once. The bound is each issuer's own: one that does not answer holds up
/// nobody else's tokens.
const JUDGED_AT_ONCE_MAX: usize = 64;
/// How long a further one waits for its turn.
const TURN_WAIT_MAX: Duration = Duration::from_secs(10);
/// Opaque tokens that an issuer called inactive and that are remembered for it.
const INACTIVE_MAX: usize = 4096;

/// An issuer.
pub(super) struct Issuer {
    pub(super) name: Slug,
    pub(super) spec: IssuerSpec,
    pub(super) iss: Arc<str>,
    pub(super) keys: Arc<IssuerKeys>,
    secret: Option<SecretString>,
    opaque: Option<Opaque>,
    turns: Semaphore,
}

/// How it is asked about opaque tokens.
struct Opaque {
    introspector: Introspector,
    cache_ms: i64,
    inactive: Shelf<[u8; 32], ()>,
}

impl Issuer {
    /// The issuer of this row: the one that is known, when nothing of it has changed; else a new one, with the keys of a known
    /// one that has them from the same place.
    pub(super) fn of(row: &IssuerRow, known: &[Arc<Self>], fetch: &Arc<dyn Fetch>) -> Arc<Self> {
        let secret = row.secrets.0.get(INTROSPECTION_SECRET);
        let exposed = |secret: Option<&SecretString>| secret.map(|secret| secret.expose_secret().to_owned());
        let same = |old: &&Arc<Self>| {
            old.name == row.slug && old.spec == row.spec && exposed(old.secret.as_ref()) == exposed(secret)
        };
        if let Some(same) = known.iter().find(same) {
            return same.clone();
        }
        let keys = known.iter().find(|old| same_keys(&old.spec, &row.spec)).map(|old| old.keys.clone());
        let keys = keys.unwrap_or_else(|| IssuerKeys::new(&row.spec, fetch.clone()));
        let opaque = row.spec.introspection.as_ref().map(|spec| Opaque {
            introspector: Introspector::new(spec.clone(), secret.cloned(), keys.clone(), fetch.clone()),
            cache_ms: i64::from(spec.cache_s) * 1000,
            inactive: Shelf::new(INACTIVE_MAX),
        });
        Arc::new(Self {
            name: row.slug.clone(),
            spec: row.spec.clone(),
            iss: row.spec.issuer.as_str().into(),
            keys,
            secret: secret.cloned(),
            opaque,
            turns: Semaphore::new(JUDGED_AT_ONCE_MAX),
        })
    }

    /// Whether one of these audiences is the resource, or stands for it by the operator's word.
    pub(super) fn takes<'a>(&self, mut audiences: impl Iterator<Item = &'a str>, wanted: Wanted<'_>) -> bool {
        audiences.any(|audience| audience == wanted.resource || self.spec.audiences.iter().any(|own| own == audience))
    }

    /// How long what it says of an opaque token counts; `None` when it is not asked.
    pub(super) fn answers_count_ms(&self) -> Option<i64> {
        self.opaque.as_ref().map(|opaque| opaque.cache_ms)
    }

    /// The keys to judge a token with this `kid` by.
    pub(super) async fn keys_for(&self, kid: Option<&str>) -> Result<Arc<KeySet>, Failed> {
        let Ok(Ok(_turn)) = tokio::time::timeout(TURN_WAIT_MAX, self.turns.acquire()).await else {
            return Err(Failed::unavailable(&self.name, "too many of its tokens wait for its keys; try again"));
        };
        self.keys.for_kid(kid).await.map_err(|why| self.unavailable(&why))
    }

    /// What it says of an opaque token. `None` when the token is not active.
    pub(super) async fn ask(&self, token: &str, now_ms: i64) -> Result<Option<Map<String, Value>>, Failed> {
        let Some(opaque) = &self.opaque else { return Ok(None) };
        let digest = Sha256::digest(token.as_bytes()).into();
        if opaque.inactive.find(&digest, now_ms, |()| Some(())).is_some() {
            return Ok(None);
        }
        let answer = opaque.introspector.ask(token).await.map_err(|why| self.unavailable(&why))?;
        if answer.is_none() {
            opaque.inactive.put(digest, (), now_ms.saturating_add(opaque.cache_ms), now_ms);
        }
        Ok(answer)
    }

    /// That it cannot be asked. Who asked has said so in the log, once and not for each token.
    fn unavailable(&self, why: &Unavailable) -> Failed {
        Failed::unavailable(&self.name, format!("the issuer cannot be asked: {why}"))
    }
}

/// Whether both have their keys from the same place, under the same rules.
fn same_keys(a: &IssuerSpec, b: &IssuerSpec) -> bool {
    a.issuer == b.issuer
        && a.metadata_url == b.metadata_url
        && a.jwks_url == b.jwks_url
        && a.algorithms == b.algorithms
        && a.introspection == b.introspection
}
