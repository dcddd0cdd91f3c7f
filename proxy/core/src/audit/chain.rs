//! The chain that makes an audit tamper-evident: each record's hash covers the one before it. There is one chain for each tenant
//! and writer, so that no replica waits for another; [`Checkpoint`]s, signed by the gateway, say how far a chain had come, so
//! that a cut end is found too. [`super::Verifier`] reads it all again; who links, signs and stores is the gateway's and the
//! store's affair.
//!
//! What is hashed is made of fixed members and of texts with their lengths before them, so that no two records have the same
//! bytes. Numbers have their highest byte first:
//!
//! | bytes | |
//! |---|---|
//! | 25 | `patchbay audit record v1` and a line feed |
//! | 1 + 16 | 1 and the tenant's id; 17 zeros for records of no tenant |
//! | 8 | the writer |
//! | 8 | the record's number |
//! | 32 | the hash of the record before it; zeros for the first one |
//! | 16 | the event's id |
//! | 8 | its time, in milliseconds since 1970 |
//! | 8 and so many | the length of the kind, and the kind |
//! | 8 and so many | the length of the line, and the line |

use sha2::{Digest, Sha256};

use crate::TenantId;

const RECORD_TAG: &[u8; 25] = b"patchbay audit record v1\n";
const CHECKPOINT_TAG: &[u8; 29] = b"patchbay audit checkpoint v1\n";

/// Who writes a chain: a gateway's data folder, or the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WriterId(pub u64);

impl WriterId {
    /// The command line: operators' changes, chained in the store's own transactions.
    pub const OPERATOR: Self = Self(0);
}

/// One chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainId {
    /// Whose records; `None` for those of no tenant.
    pub tenant: Option<TenantId>,
    /// Who writes them.
    pub writer: WriterId,
}

impl ChainId {
    /// The bytes that stand for it in what is hashed and signed.
    fn bytes(self) -> [u8; 25] {
        let mut bytes = [0; 25];
        if let Some(tenant) = self.tenant {
            bytes[0] = 1;
            bytes[1..17].copy_from_slice(&tenant.bits().to_be_bytes());
        }
        bytes[17..].copy_from_slice(&self.writer.0.to_be_bytes());
        bytes
    }
}

/// A place in a chain: the number of a record, and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link {
    /// The number; the first record has 1, and 0 is the place before it.
    pub seq: u64,
    /// The hash.
    pub hash: [u8; 32],
}

impl Link {
    /// The place before the first record.
    pub const START: Self = Self { seq: 0, hash: [0; 32] };

    /// The place after this one: that of a record with these members. `json` is hashed byte for byte.
    #[must_use]
    pub fn next(&self, chain: ChainId, event_id: u128, at_ms: i64, kind: &str, json: &str) -> Self {
        let seq = self.seq.wrapping_add(1);
        let mut fixed = [0; 122];
        fixed[..25].copy_from_slice(RECORD_TAG);
        fixed[25..50].copy_from_slice(&chain.bytes());
        fixed[50..58].copy_from_slice(&seq.to_be_bytes());
        fixed[58..90].copy_from_slice(&self.hash);
        fixed[90..106].copy_from_slice(&event_id.to_be_bytes());
        fixed[106..114].copy_from_slice(&at_ms.to_be_bytes());
        fixed[114..].copy_from_slice(&(kind.len() as u64).to_be_bytes());
        let hash = Sha256::new()
            .chain_update(fixed)
            .chain_update(kind)
            .chain_update((json.len() as u64).to_be_bytes())
            .chain_update(json)
            .finalize();
        Self { seq, hash: hash.into() }
    }
}

/// The gateway's word that a chain had come to this place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The chain.
    pub chain: ChainId,
    /// The place.
    pub link: Link,
    /// Why it was made.
    pub reason: CheckpointReason,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Ed25519 over [`Self::message`].
    pub signature: [u8; 64],
}

/// Why a checkpoint was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckpointReason {
    /// The chain has grown so far.
    Head,
    /// Everything up to this place was removed, because it is older than is kept.
    Retention,
}

impl Checkpoint {
    /// What is signed: `patchbay audit checkpoint v1` and a line feed, the chain as in a record, the number, the hash, 1 for a
    /// head or 2 for a retention, and the time.
    pub fn message(&self) -> Vec<u8> {
        let reason = match self.reason {
            CheckpointReason::Head => 1,
            CheckpointReason::Retention => 2,
        };
        let mut message = Vec::with_capacity(CHECKPOINT_TAG.len() + 25 + 8 + 32 + 1 + 8);
        message.extend_from_slice(CHECKPOINT_TAG);
        message.extend_from_slice(&self.chain.bytes());
        message.extend_from_slice(&self.link.seq.to_be_bytes());
        message.extend_from_slice(&self.link.hash);
        message.push(reason);
        message.extend_from_slice(&self.at_ms.to_be_bytes());
        message
    }
}
