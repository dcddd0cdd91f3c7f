//! Secrets at rest: sealed with XChaCha20-Poly1305 when they are written, opened when a tenant is loaded.
//!
//! A sealed secret is one byte of key id, 24 of random nonce, then ciphertext and tag. It is bound to its tenant, its server or
//! issuer and its name, so that a row copied elsewhere does not open. Where the key comes from is not decided here.

use std::fmt;

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use patchbay_core::{ServerId, Slug, TenantId};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

const NONCE_BYTES: usize = 24;

/// The keys for secrets at rest: one to seal with, and all that may still be needed to open.
#[derive(Clone)]
pub struct Vault {
    current: Key,
    /// Two keys may have the same number, also one of these and the current one: it only says where to look first.
    former: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: u8,
    cipher: XChaCha20Poly1305,
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
    /// The answer of an admin's request, known by its digest. It is of no tenant.
    Request([u8; 32]),
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
        Self { current: Key::new(id, key), former: Vec::new() }
    }

    /// Adds a key that only opens: what was sealed before the current key came. It may have the same number as another one.
    #[must_use]
    pub fn with_former(mut self, id: u8, key: [u8; 32]) -> Self {
        self.former.push(Key::new(id, key));
        self
    }

    pub(crate) fn seal(&self, bound: Bound<'_>, secret: &str) -> Vec<u8> {
        self.seal_bytes(bound, secret.as_bytes())
    }

    pub(crate) fn seal_bytes(&self, bound: Bound<'_>, secret: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = patchbay_core::random_bytes();
        let payload = Payload { msg: secret, aad: &bound.bytes() };
        let sealed = self
            .current
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("the cipher takes up to 256 GiB, more than a secret can have");
        [&[self.current.id][..], &nonce, &sealed].concat()
    }

    pub(crate) fn open(&self, bound: Bound<'_>, sealed: &[u8]) -> Result<SecretString, Closed> {
        let (opened, _) = self.decrypt(bound, sealed)?;
        String::from_utf8(opened).map(SecretString::from).map_err(|_| Closed::Malformed)
    }

    pub(crate) fn open_bytes(&self, bound: Bound<'_>, sealed: &[u8]) -> Result<SecretSlice<u8>, Closed> {
        Ok(self.decrypt(bound, sealed)?.0.into())
    }

    /// The same secret sealed with the current key, or `None` when it is that one that opens it.
    pub(crate) fn reseal(&self, bound: Bound<'_>, sealed: &[u8]) -> Result<Option<Vec<u8>>, Closed> {
        let (opened, is_current) = self.decrypt(bound, sealed)?;
        let opened = SecretSlice::from(opened);
        Ok((!is_current).then(|| self.seal_bytes(bound, opened.expose_secret())))
    }

    /// What was sealed, and whether by the current key.
    fn decrypt(&self, bound: Bound<'_>, sealed: &[u8]) -> Result<(Vec<u8>, bool), Closed> {
        let (&id, rest) = sealed.split_first().ok_or(Closed::Malformed)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(Closed::Malformed)?;
        let (nonce, aad) = (XNonce::from(*nonce), bound.bytes());
        let mut closed = Closed::NoSuchKey(id);
        let keys = std::iter::once((&self.current, true)).chain(self.former.iter().map(|key| (key, false)));
        for (key, is_current) in keys.filter(|(key, _)| key.id == id) {
            match key.cipher.decrypt(&nonce, Payload { msg: sealed, aad: &aad }) {
                Ok(opened) => return Ok((opened, is_current)),
                Err(_) => closed = Closed::WrongKey(id),
            }
        }
        Err(closed)
    }
}

impl Key {
    fn new(id: u8, key: [u8; 32]) -> Self {
        Self { id, cipher: XChaCha20Poly1305::new(&key.into()) }
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let former: Vec<_> = self.former.iter().map(|key| key.id).collect();
        f.debug_struct("Vault").field("current", &self.current.id).field("former", &former).finish()
    }
}

/// Stands after the ids of all that is not a server's secret. No UTF-8 has this byte, so no name of a server's secret begins
/// with it.
const NO_SERVER_SECRET: u8 = 0xff;

impl Bound<'_> {
    /// The associated data. No two bindings give the same bytes: ids and digests have a fixed length, a slug has no zero byte, and the
    /// kinds differ in what follows the ids. A server's secret has nothing there but its name, as it had before there were others.
    fn bytes(&self) -> Vec<u8> {
        let (id, kind, whose, end) = match &self.of {
            Of::Server(server) => (server.bits(), &[][..], &[][..], &[][..]),
            Of::Issuer(slug) => (0, &[NO_SERVER_SECRET, b'i'][..], slug.as_str().as_bytes(), &[0][..]),
            Of::Token(server) => (server.bits(), &[NO_SERVER_SECRET, b't'][..], &[][..], &[][..]),
            Of::Request(digest) => (0, &[NO_SERVER_SECRET, b'r'][..], &digest[..], &[][..]),
        };
        let tenant = self.tenant.bits().to_be_bytes();
        [&tenant[..], &id.to_be_bytes(), kind, whose, end, self.name.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(tenant: u128, server: u128, name: &str) -> Bound<'_> {
        Bound { tenant: TenantId::from_bits(tenant), of: Of::Server(ServerId::from_bits(server)), name }
    }

    #[test]
    fn no_two_bindings_are_the_same_bytes() {
        let (tenant, zero, one) = (TenantId::from_bits(1), ServerId::from_bits(0), ServerId::from_bits(1));
        let (idp, idp_a): (Slug, Slug) = ("idp".parse().expect("a slug"), "idp-a".parse().expect("a slug"));
        let names = ["", "a", "i", "t", "idp", "\u{0}", "\u{0}a", "iidp\u{0}a", "-a", "\u{ff}t"];
        let owners = [
            Of::Server(zero),
            Of::Server(one),
            Of::Token(zero),
            Of::Token(one),
            Of::Issuer(&idp),
            Of::Issuer(&idp_a),
            Of::Request([0; 32]),
            Of::Request([0xff; 32]),
        ];
        let all = owners.iter().flat_map(|of| names.iter().map(move |name| Bound { tenant, of: *of, name }.bytes()));
        let different: std::collections::BTreeSet<_> = all.collect();
        assert_eq!(different.len(), owners.len() * names.len());
    }

    #[test]
    fn secret_of_a_server_opens_for_no_issuer_and_no_token() {
        let vault = Vault::new(1, [7; 32]);
        let (tenant, server) = (TenantId::from_bits(1), ServerId::from_bits(2));
        let (idp, other): (Slug, Slug) = ("idp".parse().expect("a slug"), "other".parse().expect("a slug"));
        let request = Of::Request([0; 32]);
        let owners = [Of::Server(server), Of::Token(server), Of::Issuer(&idp), Of::Issuer(&other), request];
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
    fn keys_of_one_number_are_told_apart() {
        let sealed = Vault::new(1, [7; 32]).seal(bound(1, 2, "n"), "s");
        let both = Vault::new(1, [8; 32]).with_former(1, [9; 32]).with_former(1, [7; 32]);
        assert_eq!(both.open(bound(1, 2, "n"), &sealed).expect("a former key opens it").expose_secret(), "s");
        let anew = both.reseal(bound(1, 2, "n"), &sealed).expect("it opens").expect("by a former key");
        assert!(Vault::new(1, [8; 32]).open(bound(1, 2, "n"), &anew).is_ok());
        assert_eq!(both.reseal(bound(1, 2, "n"), &anew), Ok(None), "it is sealed with the current key now");
        let stranger = Vault::new(1, [6; 32]).with_former(1, [9; 32]);
        assert_eq!(stranger.reseal(bound(1, 2, "n"), &sealed), Err(Closed::WrongKey(1)));
        assert_eq!(Vault::new(2, [8; 32]).reseal(bound(1, 2, "n"), &sealed), Err(Closed::NoSuchKey(1)));
    }

    #[test]
    fn no_two_seals_look_alike_and_debug_shows_no_key() {
        let vault = Vault::new(1, [7; 32]);
        assert_ne!(vault.seal(bound(1, 2, "n"), "s"), vault.seal(bound(1, 2, "n"), "s"));
        assert_eq!(format!("{vault:?}"), "Vault { current: 1, former: [] }");
    }
}
