//! Secrets at rest: sealed with XChaCha20-Poly1305 when they are written, opened when a tenant is loaded.
//!
//! A sealed secret is one byte of key id, 24 of random nonce, then ciphertext and tag. It is bound to its tenant, its server or
//! issuer and its name, so that a row copied elsewhere does not open. Where the key comes from is not decided here.

use std::{collections::BTreeMap, fmt};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use patchbay_core::{ServerId, Slug, TenantId};
use secrecy::SecretString;

const NONCE_BYTES: usize = 24;

/// The keys for secrets at rest: one to seal with, and all that may still be needed to open.
#[derive(Clone)]
pub struct Vault {
    current: u8,
    keys: BTreeMap<u8, XChaCha20Poly1305>,
}

/// To what a sealed secret is bound.
#[derive(Clone, Copy)]
pub(crate) struct Bound<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) of: Of<'a>,
    pub(crate) name: &'a str,
}

/// Whose secret it is.
#[derive(Clone, Copy)]
pub(crate) enum Of<'a> {
    /// A server's, as its tenant file gives it.
    Server(ServerId),
    /// An issuer's, as its tenant file gives it.
    Issuer(&'a Slug),
    /// The gateway's own, got at a server.
    Token(ServerId),
}

/// Why a sealed secret stays closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Closed {
    #[error("it was sealed with key {0}, and no key of that number was given")]
    NoSuchKey(u8),
    #[error("key {0} was given, but it is not the one that sealed it, or the stored bytes were changed")]
    WrongKey(u8),
    #[error("the stored bytes are no sealed secret")]
    Malformed,
}

impl Vault {
    /// A vault that seals and opens with `key`, which is known by the number `id`.
    pub fn new(id: u8, key: [u8; 32]) -> Self {
        Self { current: id, keys: BTreeMap::from([(id, XChaCha20Poly1305::new(&key.into()))]) }
    }

    /// Adds a key that only opens: what was sealed before the current key came. The current key cannot be replaced by this.
    #[must_use]
    pub fn with_former(mut self, id: u8, key: [u8; 32]) -> Self {
        self.keys.entry(id).or_insert_with(|| XChaCha20Poly1305::new(&key.into()));
        self
    }

    pub(crate) fn seal(&self, bound: Bound<'_>, secret: &str) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = patchbay_core::random_bytes();
        let cipher = self.keys.get(&self.current).expect("the current key is put in by `new` and never taken out");
        let payload = Payload { msg: secret.as_bytes(), aad: &bound.bytes() };
        let sealed = cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("the cipher takes up to 256 GiB, more than a secret can have");
        [&[self.current][..], &nonce, &sealed].concat()
    }

    pub(crate) fn open(&self, bound: Bound<'_>, sealed: &[u8]) -> Result<SecretString, Closed> {
        let (&id, rest) = sealed.split_first().ok_or(Closed::Malformed)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(Closed::Malformed)?;
        let cipher = self.keys.get(&id).ok_or(Closed::NoSuchKey(id))?;
        let payload = Payload { msg: sealed, aad: &bound.bytes() };
        let opened = cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| Closed::WrongKey(id))?;
        String::from_utf8(opened).map(SecretString::from).map_err(|_| Closed::Malformed)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("current", &self.current).field("keys", &self.keys.keys()).finish()
    }
}

/// Stands after the ids of all that is not a server's secret. No UTF-8 has this byte, so no name of a server's secret begins
/// with it.
const NO_SERVER_SECRET: u8 = 0xff;

impl Bound<'_> {
    /// The associated data. No two bindings give the same bytes: ids have a fixed length, a slug has no zero byte, and the kinds
    /// differ in what follows the ids. A server's secret has nothing there but its name, as it had before there were others.
    fn bytes(&self) -> Vec<u8> {
        let (id, kind, slug) = match self.of {
            Of::Server(server) => (server.bits(), &[][..], ""),
            Of::Issuer(slug) => (0, &[NO_SERVER_SECRET, b'i'][..], slug.as_str()),
            Of::Token(server) => (server.bits(), &[NO_SERVER_SECRET, b't'][..], ""),
        };
        let end: &[u8] = if slug.is_empty() { &[] } else { &[0] };
        let tenant = self.tenant.bits().to_be_bytes();
        [&tenant[..], &id.to_be_bytes(), kind, slug.as_bytes(), end, self.name.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn bound(tenant: u128, server: u128, name: &str) -> Bound<'_> {
        Bound { tenant: TenantId::from_bits(tenant), of: Of::Server(ServerId::from_bits(server)), name }
    }

    #[test]
    fn no_two_bindings_are_the_same_bytes() {
        let (tenant, zero, one) = (TenantId::from_bits(1), ServerId::from_bits(0), ServerId::from_bits(1));
        let (idp, idp_a): (Slug, Slug) = ("idp".parse().expect("a slug"), "idp-a".parse().expect("a slug"));
        let names = ["", "a", "i", "t", "idp", "\u{0}", "\u{0}a", "iidp\u{0}a", "-a", "\u{ff}t"];
        let owners =
            [Of::Server(zero), Of::Server(one), Of::Token(zero), Of::Token(one), Of::Issuer(&idp), Of::Issuer(&idp_a)];
        let all = owners.iter().flat_map(|of| names.iter().map(move |name| Bound { tenant, of: *of, name }.bytes()));
        let different: std::collections::BTreeSet<_> = all.collect();
        assert_eq!(different.len(), owners.len() * names.len());
    }

    #[test]
    fn secret_of_a_server_opens_for_no_issuer_and_no_token() {
        let vault = Vault::new(1, [7; 32]);
        let (tenant, server) = (TenantId::from_bits(1), ServerId::from_bits(2));
        let (idp, other): (Slug, Slug) = ("idp".parse().expect("a slug"), "other".parse().expect("a slug"));
        let owners = [Of::Server(server), Of::Token(server), Of::Issuer(&idp), Of::Issuer(&other)];
        for (sealed_by, of) in owners.into_iter().enumerate() {
            let sealed = vault.seal(Bound { tenant, of, name: "n" }, "s");
            for (opened_by, of) in owners.into_iter().enumerate() {
                let opened = vault.open(Bound { tenant, of, name: "n" }, &sealed);
                assert_eq!(opened.is_ok(), sealed_by == opened_by, "sealed by {sealed_by}, opened by {opened_by}");
            }
        }
    }

    #[test]
    fn secret_opens_only_where_it_was_sealed() {
        let vault = Vault::new(1, [7; 32]);
        let sealed = vault.seal(bound(1, 2, "header:Authorization"), "Bearer abc");
        for elsewhere in
            [bound(9, 2, "header:Authorization"), bound(1, 9, "header:Authorization"), bound(1, 2, "env:X")]
        {
            assert_eq!(vault.open(elsewhere, &sealed).err(), Some(Closed::WrongKey(1)));
        }
        let opened = vault.open(bound(1, 2, "header:Authorization"), &sealed).expect("sealed here");
        assert_eq!(opened.expose_secret(), "Bearer abc");
    }

    #[test]
    fn changed_cut_or_empty_bytes_stay_closed() {
        let vault = Vault::new(1, [7; 32]);
        let sealed = vault.seal(bound(1, 2, "n"), "s");
        for at in 1..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(vault.open(bound(1, 2, "n"), &changed).err(), Some(Closed::WrongKey(1)), "byte {at}");
            assert!(vault.open(bound(1, 2, "n"), &sealed[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(vault.open(bound(1, 2, "n"), &[]).err(), Some(Closed::Malformed));
    }

    #[test]
    fn former_key_opens_and_the_current_one_seals() {
        let old = Vault::new(1, [7; 32]);
        let sealed = old.seal(bound(1, 2, "n"), "s");
        let new = Vault::new(2, [8; 32]);
        assert_eq!(new.open(bound(1, 2, "n"), &sealed).err(), Some(Closed::NoSuchKey(1)));
        let both = new.with_former(1, [7; 32]).with_former(2, [9; 32]);
        assert!(both.open(bound(1, 2, "n"), &sealed).is_ok());
        assert_eq!(both.seal(bound(1, 2, "n"), "s")[0], 2);
    }

    #[test]
    fn no_two_seals_look_alike_and_debug_shows_no_key() {
        let vault = Vault::new(1, [7; 32]);
        assert_ne!(vault.seal(bound(1, 2, "n"), "s"), vault.seal(bound(1, 2, "n"), "s"));
        assert_eq!(format!("{vault:?}"), "Vault { current: 1, keys: [1] }");
    }
}
