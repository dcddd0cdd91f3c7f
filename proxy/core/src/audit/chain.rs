//! The chain that makes an audit tamper-evident: each record's hash covers the one before it. There is one chain for each tenant
//! and writer, so that no replica waits for another; [`Checkpoint`]s, signed by the gateway, say how far a chain had come, so
//! that a cut end is found too.

use crate::TenantId;

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
        todo!("{chain:?} {event_id} {at_ms} {kind} {json}")
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
    /// What is signed.
    pub fn message(&self) -> Vec<u8> {
        todo!()
    }
}

/// A record as it is verified.
#[derive(Debug, Clone, Copy)]
pub struct Chained<'a> {
    /// Its number and its hash, as they are stored.
    pub link: Link,
    /// The event.
    pub event_id: u128,
    /// When it began.
    pub at_ms: i64,
    /// What sort of event it is.
    pub kind: &'a str,
    /// The record.
    pub json: &'a str,
}

/// What is wrong with a chain. Numbers are those of records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// The record is not what was written, or the one before it is not.
    #[error("record {seq} was changed")]
    Changed {
        /// Its number.
        seq: u64,
    },
    /// Records are not there.
    #[error("records {first} to {last} are missing")]
    Missing {
        /// The first that is not there.
        first: u64,
        /// The last.
        last: u64,
    },
    /// A number stands twice, or out of order.
    #[error("record {seq} stands where it does not belong")]
    Misplaced {
        /// Its number.
        seq: u64,
    },
    /// A checkpoint says otherwise than the record with its number.
    #[error("the checkpoint at record {seq} has another hash than the record")]
    Checkpoint {
        /// The number.
        seq: u64,
    },
}

/// Verifies one chain, record by record in the order of their numbers.
#[derive(Debug)]
pub struct Verifier {
    chain: ChainId,
    at: Link,
    /// Places that trusted checkpoints name, ascending.
    checkpoints: Vec<Link>,
}

impl Verifier {
    /// Begins after `anchor`: [`Link::START`], or the place of a trusted retention checkpoint. `checkpoints` are the places of
    /// those whose signatures were found good.
    pub fn new(chain: ChainId, anchor: Link, checkpoints: Vec<Link>) -> Self {
        Self { chain, at: anchor, checkpoints }
    }

    /// The next record.
    ///
    /// # Errors
    /// With the first fault; what comes after it says nothing.
    pub fn record(&mut self, record: &Chained<'_>) -> Result<(), ChainFault> {
        todo!("{:?} {:?} {record:?}", self.chain, self.checkpoints)
    }

    /// The end: whether a checkpoint names a record that did not come.
    ///
    /// # Errors
    /// [`ChainFault::Missing`].
    pub fn end(self) -> Result<Link, ChainFault> {
        todo!("{:?}", self.at)
    }
}
