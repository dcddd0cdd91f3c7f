//! API keys: how they are made, and the ring of all tenants' keys in memory against which each request is held. The ring has
//! digests only; `control` fills it, requests read it.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dashmap::DashMap;
use http::HeaderName;
use patchbay_core::{KeyId, Slug, TenantId, model::KeyRow};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The other header that a key may come in, for clients that keep `Authorization` to themselves.
pub const HEADER: HeaderName = HeaderName::from_static("x-api-key");
/// What every key begins with, so that people and secret scanners know it when they see it.
pub const PREFIX: &str = "pb_";
/// Characters of a key that stay visible in lists.
const SHOWN_CHARS: usize = 11;
/// The longest credential that is looked at, in bytes.
const CREDENTIAL_BYTES_MAX: usize = 256;

/// A key that was just made: the one moment in which it exists in the clear.
#[derive(Debug)]
pub struct NewKey {
    /// The key, to be shown once.
    pub secret: secrecy::SecretString,
    /// What the store keeps.
    pub row: KeyRow,
}

impl NewKey {
    /// Makes a key of 256 random bits.
    pub fn generate(
        tenant: TenantId,
        label: String,
        toolsets: Option<Vec<Slug>>,
        created_ms: i64,
        expires_ms: Option<i64>,
    ) -> Self {
        let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(patchbay_core::random_bytes::<32>()));
        let row = KeyRow {
            id: KeyId::random(),
            tenant,
            label,
            shown: secret.chars().take(SHOWN_CHARS).collect(),
            digest: digest_of(&secret),
            toolsets,
            created_ms,
            expires_ms,
            revoked_ms: None,
            used_ms: None,
        };
        Self { secret: secret.into(), row }
    }
}

/// SHA-256 of a key. The key has 256 random bits, so a slow hash would add nothing.
pub fn digest_of(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// A key as requests meet it.
#[derive(Debug)]
pub struct KeyEntry {
    /// The row.
    pub id: KeyId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The toolsets that it opens; `None` means all of the tenant.
    pub toolsets: Option<Arc<[Slug]>>,
    digest: [u8; 32],
    expires_ms: i64,
    used_ms: AtomicI64,
}

/// All keys that open something now.
#[derive(Debug, Default)]
pub struct KeyRing {
    by_digest: DashMap<[u8; 16], Arc<KeyEntry>>,
}

impl KeyRing {
    /// The key with this text, unless it has expired. The digests are compared in constant time.
    pub fn find(&self, key: &str, now_ms: i64) -> Option<Arc<KeyEntry>> {
        if key.len() > CREDENTIAL_BYTES_MAX {
            return None;
        }
        let digest = digest_of(key);
        let entry = self.by_digest.get(&first_half(&digest))?;
        let same = bool::from(entry.digest.ct_eq(&digest));
        (same && now_ms < entry.expires_ms).then(|| entry.clone())
    }

    /// Makes the ring hold exactly these keys of the tenant; revoked ones are left out.
    pub fn replace(&self, tenant: TenantId, rows: &[KeyRow]) {
        let live: std::collections::HashMap<_, _> =
            rows.iter().filter(|row| row.revoked_ms.is_none()).map(|row| (first_half(&row.digest), row)).collect();
        self.by_digest.retain(|digest, entry| entry.tenant != tenant || live.contains_key(digest));
        for (digest, row) in live {
            let known = self.by_digest.get(&digest).map_or(0, |entry| entry.used_ms.load(Ordering::Relaxed));
            let entry = KeyEntry {
                id: row.id,
                tenant,
                toolsets: row.toolsets.as_ref().map(|open| open.as_slice().into()),
                digest: row.digest,
                expires_ms: row.expires_ms.unwrap_or(i64::MAX),
                used_ms: AtomicI64::new(known),
            };
            self.by_digest.insert(digest, Arc::new(entry));
        }
    }

    /// Whether a key that was found before is there still, opens the same and has not expired.
    pub(crate) fn still_opens(&self, entry: &KeyEntry, now_ms: i64) -> bool {
        self.by_digest.get(&first_half(&entry.digest)).is_some_and(|now| {
            (now.id, now.tenant) == (entry.id, entry.tenant)
                && now.toolsets == entry.toolsets
                && now_ms < now.expires_ms
        })
    }

    /// Whether the tenant has a key of that id that opens something. Looks at all keys: for operators, not for requests.
    pub(crate) fn has(&self, tenant: TenantId, id: KeyId) -> bool {
        self.by_digest.iter().any(|entry| entry.tenant == tenant && entry.id == id)
    }

    /// Notes that a key was used. Written to the store in batches by `control`.
    pub fn used(&self, entry: &KeyEntry, now_ms: i64) {
        if entry.used_ms.load(Ordering::Relaxed) < now_ms {
            entry.used_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    /// The keys that were used since then, with the time of their last use.
    pub fn used_since(&self, since_ms: i64) -> Vec<(TenantId, KeyId, i64)> {
        let used = |entry: &KeyEntry| (entry.tenant, entry.id, entry.used_ms.load(Ordering::Relaxed));
        self.by_digest.iter().map(|entry| used(&entry)).filter(|(_, _, at)| *at > since_ms).collect()
    }
}

fn first_half(digest: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn ring_with(key: &NewKey) -> KeyRing {
        let ring = KeyRing::default();
        ring.replace(key.row.tenant, std::slice::from_ref(&key.row));
        ring
    }

    #[test]
    fn only_the_whole_key_opens_and_only_until_it_expires() {
        let key = NewKey::generate(TenantId::random(), "ci".into(), None, 0, Some(100));
        let ring = ring_with(&key);
        let text = key.secret.expose_secret();
        assert!(text.starts_with("pb_") && text.len() == 46);
        assert!(ring.find(text, 99).is_some());
        assert!(ring.find(text, 100).is_none());
        assert!(ring.find(&text[..45], 0).is_none());
        assert!(ring.find(&format!("{text}A"), 0).is_none());
        assert!(ring.find("", 0).is_none() && ring.find(&"x".repeat(10_000), 0).is_none());
    }

    #[test]
    fn a_revoked_key_leaves_the_ring_and_other_tenants_keys_stay() {
        let (mut mine, other) = (
            NewKey::generate(TenantId::random(), "a".into(), None, 0, None),
            NewKey::generate(TenantId::random(), "b".into(), None, 0, None),
        );
        let ring = ring_with(&mine);
        ring.replace(other.row.tenant, std::slice::from_ref(&other.row));
        mine.row.revoked_ms = Some(5);
        ring.replace(mine.row.tenant, std::slice::from_ref(&mine.row));
        assert!(ring.find(mine.secret.expose_secret(), 6).is_none());
        assert!(ring.find(other.secret.expose_secret(), 6).is_some());
    }

    #[test]
    fn no_part_of_the_secret_is_in_the_row() {
        let key = NewKey::generate(TenantId::random(), "a".into(), None, 0, None);
        let printed = format!("{:?} {key:?}", key.row);
        assert!(!printed.contains(&key.secret.expose_secret()[SHOWN_CHARS..]));
    }
}
