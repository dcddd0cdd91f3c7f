//! Signs checkpoints: one Ed25519 key for all replicas of a gateway, derived from its sealing key, so that what one has signed
//! another can verify. Whoever has the public key verifies without the gateway. Keys that signed before count as well.
//!
//! It is ring that signs, since TLS has brought it along: it needs no randomness for it, and so nothing is gathered at the start.

use patchbay_core::audit::Checkpoint;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// The gateway's signing key for its audit.
pub struct Signer {
    pair: Ed25519KeyPair,
    /// Its own public key, then those of the keys that signed before it.
    publics: Vec<[u8; 32]>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("public", &self.public()).finish_non_exhaustive()
    }
}

impl Signer {
    /// The key of this seed.
    ///
    /// # Errors
    /// When this build cannot make a key of it.
    pub fn new(seed: [u8; 32]) -> anyhow::Result<Self> {
        let pair = pair(seed)?;
        let public = public(&pair)?;
        Ok(Self { pair, publics: vec![public] })
    }

    /// Adds the key of a seed that signed before: what it signed is believed, and nothing is signed with it any more.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_former(mut self, seed: [u8; 32]) -> anyhow::Result<Self> {
        self.publics.push(public(&pair(seed)?)?);
        Ok(self)
    }

    /// The key by which its own signatures are verified.
    pub fn public(&self) -> [u8; 32] {
        self.publics[0]
    }

    /// All keys whose signatures are believed: its own first, then the former ones.
    pub fn publics(&self) -> &[[u8; 32]] {
        &self.publics
    }

    /// Signs a checkpoint: fills in its signature.
    pub fn sign(&self, checkpoint: &mut Checkpoint) {
        let signature = self.pair.sign(&checkpoint.message());
        checkpoint.signature.copy_from_slice(signature.as_ref());
    }
}

fn pair(seed: [u8; 32]) -> anyhow::Result<Ed25519KeyPair> {
    let refused = |_| anyhow::anyhow!("the key that signs the audit cannot be made: check the build's ring library");
    Ed25519KeyPair::from_seed_unchecked(&seed).map_err(refused)
}

fn public(pair: &Ed25519KeyPair) -> anyhow::Result<[u8; 32]> {
    Ok(pair.public_key().as_ref().try_into()?)
}

/// Whether a checkpoint was signed by the owner of one of these public keys.
pub fn is_signed_by_any(checkpoint: &Checkpoint, publics: &[[u8; 32]]) -> bool {
    publics.iter().any(|public| is_signed(checkpoint, public))
}

/// Whether a checkpoint was signed by the owner of this public key.
pub fn is_signed(checkpoint: &Checkpoint, public: &[u8; 32]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(&checkpoint.message(), &checkpoint.signature).is_ok()
}

#[cfg(test)]
mod tests {
    use patchbay_core::{
        TenantId,
        audit::{ChainId, CheckpointReason, Link, WriterId},
    };

    use super::*;

    fn signed(seed: u8) -> (Checkpoint, [u8; 32]) {
        let chain = ChainId { tenant: Some(TenantId::from_bits(7)), writer: WriterId(9) };
        let link = Link { seq: 3, hash: [5; 32] };
        let signer = Signer::new([seed; 32]).unwrap();
        let mut checkpoint = Checkpoint { chain, link, reason: CheckpointReason::Head, at_ms: 11, signature: [0; 64] };
        signer.sign(&mut checkpoint);
        (checkpoint, signer.public())
    }

    #[test]
    fn what_was_signed_is_believed_and_nothing_else_is() {
        let (checkpoint, public) = signed(1);
        assert!(is_signed(&checkpoint, &public));
        let changed: [fn(&mut Checkpoint); 8] = [
            |checkpoint| checkpoint.chain.tenant = None,
            |checkpoint| checkpoint.chain.writer.0 ^= 1,
            |checkpoint| checkpoint.link.seq += 1,
            |checkpoint| checkpoint.link.hash[31] ^= 1,
            |checkpoint| checkpoint.reason = CheckpointReason::Retention,
            |checkpoint| checkpoint.at_ms += 1,
            |checkpoint| checkpoint.signature[0] ^= 1,
            |checkpoint| checkpoint.signature = [0; 64],
        ];
        for (number, change) in changed.into_iter().enumerate() {
            let mut other = checkpoint.clone();
            change(&mut other);
            assert!(!is_signed(&other, &public), "change {number}");
        }
        assert!(!is_signed(&checkpoint, &signed(2).1), "signed by another gateway");
        assert!(!is_signed(&checkpoint, &[0xff; 32]), "signed by no key at all");
    }

    #[test]
    fn what_a_former_key_signed_is_believed_and_signed_no_more() {
        let (before, former) = signed(1);
        let signer = Signer::new([2; 32]).unwrap().with_former([1; 32]).unwrap();
        assert_eq!(signer.publics(), [signed(2).1, former]);
        assert!(is_signed_by_any(&before, signer.publics()) && !is_signed(&before, &signer.public()));
        let mut after = before.clone();
        signer.sign(&mut after);
        assert!(is_signed(&after, &signer.public()) && !is_signed(&after, &former));
        assert!(!is_signed_by_any(&signed(3).0, signer.publics()) && !is_signed_by_any(&before, &[]));
    }

    #[test]
    fn a_seed_gives_one_key_and_a_place_one_signature() {
        assert_eq!(signed(1), signed(1));
        assert_ne!(signed(1).1, signed(2).1);
    }

    /// The first vector of RFC 8032, section 7.1, so that the key can be taken to any other program.
    #[test]
    fn the_key_is_that_of_the_standard() {
        let bytes = |hex: &str| -> [u8; 32] {
            std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
        };
        let seed = bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let public = bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert_eq!(Signer::new(seed).unwrap().public(), public);
    }

    #[test]
    fn the_seed_is_not_shown() {
        let shown = format!("{:?}", Signer::new([0x5e; 32]).unwrap());
        assert!(!shown.contains("94, 94"), "{shown}");
    }
}
