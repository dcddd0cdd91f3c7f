//! Sealed handles: small values that travel through clients as text and come back, and that only we can have made (session
//! ids, cursors, request states). What stands in a value, and when it expires, is the business of whoever seals it.
//!
//! A handle is base64url of `version, key id, nonce, ciphertext, tag` (XChaCha20-Poly1305). Each purpose has a key of its own,
//! derived from the secret, so that a handle of one purpose is no handle for another.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{AeadInOut, Key, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};

/// The longest text that [`Sealer::open`] looks at; what is longer is refused unread.
pub const SEALED_TEXT_BYTES_MAX: usize = 64 * 1024;

const VERSION: u8 = 1;
const NONCE: usize = 24;
const TAG: usize = 16;
const HEAD: usize = 2 + NONCE;

/// What a handle is for. One made for one purpose does not open for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// The id of a legacy session.
    Session = 0,
    /// Where a list goes on.
    Cursor = 1,
    /// What a server wants to be told again with the client's answer.
    RequestState = 2,
    /// A task that runs on.
    Task = 3,
    /// A last good copy in the gateway's own folder. It never travels: see [`Sealer::seal_bytes`].
    Copy = 4,
    /// A legacy stream of events, in the ids of its events.
    Stream = 5,
    /// The id of a question to a legacy client.
    Question = 6,
    /// What one replica says to another about a request that it hands on.
    Peer = 7,
}

const PURPOSES: [Purpose; 8] = [
    Purpose::Session,
    Purpose::Cursor,
    Purpose::RequestState,
    Purpose::Task,
    Purpose::Copy,
    Purpose::Stream,
    Purpose::Question,
    Purpose::Peer,
];

/// A secret with the number by which handles name it.
#[derive(Clone)]
pub struct SealingKey {
    /// The number; it must stay with the secret for as long as handles live.
    pub id: u8,
    /// The secret, random.
    pub secret: [u8; 32],
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealingKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why keys make no [`Sealer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealerError {
    /// There is no key.
    #[error("no sealing key is given: give at least one")]
    NoKey,
    /// Two keys have one number.
    #[error("two sealing keys have the number {0}: give each its own")]
    SameId(u8),
}

/// Seals with the first key and opens with all of them.
pub struct Sealer {
    rings: Vec<Ring>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("keys", &self.rings.iter().map(|ring| ring.id).collect::<Vec<_>>()).finish()
    }
}

/// One key, ready for every purpose.
struct Ring {
    id: u8,
    ciphers: [XChaCha20Poly1305; PURPOSES.len()],
}

impl Ring {
    fn new(key: &SealingKey) -> Self {
        Self { id: key.id, ciphers: PURPOSES.map(|purpose| cipher(key, purpose)) }
    }
}

fn cipher(key: &SealingKey, purpose: Purpose) -> XChaCha20Poly1305 {
    let digest = Sha256::new()
        .chain_update(b"patchbay sealed handle 1")
        .chain_update([purpose as u8])
        .chain_update(key.secret)
        .finalize();
    XChaCha20Poly1305::new(&Key::from(<[u8; 32]>::from(digest)))
}

impl Sealer {
    /// A sealer with these keys: the first seals, all open.
    ///
    /// # Errors
    /// When there is no key, or two with one number.
    #[expect(clippy::needless_pass_by_value, reason = "the caller should not keep the secrets")]
    pub fn new(keys: Vec<SealingKey>) -> Result<Self, SealerError> {
        let mut rings: Vec<Ring> = Vec::with_capacity(keys.len());
        for key in &keys {
            if rings.iter().any(|ring| ring.id == key.id) {
                return Err(SealerError::SameId(key.id));
            }
            rings.push(Ring::new(key));
        }
        if rings.is_empty() { Err(SealerError::NoKey) } else { Ok(Self { rings }) }
    }

    /// Seals `plain`. It opens again only with the same purpose and the same `aad`, part by part; say there to whom the
    /// handle belongs.
    pub fn seal(&self, purpose: Purpose, aad: &[&[u8]], plain: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(self.seal_bytes(purpose, aad, plain))
    }

    /// The same as bytes of any length, for what stays with us.
    pub fn seal_bytes(&self, purpose: Purpose, aad: &[&[u8]], plain: &[u8]) -> Vec<u8> {
        let ring = &self.rings[0];
        let mut sealed = Vec::with_capacity(HEAD + plain.len() + TAG);
        let nonce: [u8; NONCE] = crate::random_bytes();
        sealed.extend_from_slice(&[VERSION, ring.id]);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let bound = bound(ring.id, purpose, aad);
        let tag = ring.ciphers[purpose as usize]
            .encrypt_inout_detached(&XNonce::from(nonce), &bound, (&mut sealed[HEAD..]).into())
            .expect("a handle is shorter than the 256 GiB that the cipher can take");
        sealed.extend_from_slice(&tag);
        sealed
    }

    /// What was sealed; `None` for everything that this sealer's keys did not seal for this purpose and this `aad`.
    pub fn open(&self, purpose: Purpose, aad: &[&[u8]], text: &str) -> Option<Vec<u8>> {
        if text.len() > SEALED_TEXT_BYTES_MAX {
            return None;
        }
        self.open_bytes(purpose, aad, URL_SAFE_NO_PAD.decode(text).ok()?)
    }

    /// What [`Self::seal_bytes`] sealed; else as [`Self::open`]. How many bytes are looked at is the caller's to bound.
    pub fn open_bytes(&self, purpose: Purpose, aad: &[&[u8]], mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let [VERSION, id, ..] = sealed[..] else { return None };
        let ring = self.rings.iter().find(|ring| ring.id == id)?;
        let end = sealed.len().checked_sub(TAG).filter(|end| *end >= HEAD)?;
        let nonce: [u8; NONCE] = sealed[2..HEAD].try_into().ok()?;
        let tag: [u8; TAG] = sealed[end..].try_into().ok()?;
        let bound = bound(id, purpose, aad);
        ring.ciphers[purpose as usize]
            .decrypt_inout_detached(&XNonce::from(nonce), &bound, (&mut sealed[HEAD..end]).into(), &Tag::from(tag))
            .ok()?;
        sealed.truncate(end);
        sealed.drain(..HEAD);
        Some(sealed)
    }
}

/// What a handle is bound to, each part with its length, so that no two lists of parts read the same.
fn bound(key: u8, purpose: Purpose, aad: &[&[u8]]) -> Vec<u8> {
    let mut bound = Vec::with_capacity(3 + aad.iter().map(|part| 8 + part.len()).sum::<usize>());
    bound.extend_from_slice(&[VERSION, key, purpose as u8]);
    for part in aad {
        bound.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bound.extend_from_slice(part);
    }
    bound
}

#[cfg(test)]
mod tests;
