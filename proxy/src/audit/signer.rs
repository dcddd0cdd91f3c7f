//! Signs checkpoints: one Ed25519 key for all replicas of a gateway, derived from its sealing key, so that what one has signed
//! another can verify. Whoever has the public key verifies without the gateway.

use patchbay_core::audit::Checkpoint;

/// The gateway's signing key for its audit.
pub struct Signer {
    seed: [u8; 32],
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("public", &self.public()).finish_non_exhaustive()
    }
}

impl Signer {
    /// The key of this seed.
    pub fn new(seed: [u8; 32]) -> anyhow::Result<Self> {
        Ok(Self { seed })
    }

    /// The key by which its signatures are verified.
    pub fn public(&self) -> [u8; 32] {
        todo!("{:?}", self.seed)
    }

    /// Signs a checkpoint: fills in its signature.
    pub fn sign(&self, checkpoint: &mut Checkpoint) {
        todo!("{checkpoint:?}")
    }
}

/// Whether a checkpoint was signed by the owner of this public key.
pub fn is_signed(checkpoint: &Checkpoint, public: &[u8; 32]) -> bool {
    todo!("{checkpoint:?} {public:?}")
}
