//! Reads a chain again and names the first record that is not as it was written. Where the records come from, and which
//! checkpoints are believed, is the caller's (`patchbay audit verify`).
//!
//! Without a checkpoint, whoever can write all records can write another chain; with one, none of the records up to it can be
//! changed, left out or put in between without its being found. What came after the last one can still be cut off.

use std::cmp::Reverse;

use super::chain::{ChainId, Link};

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
    anchor: u64,
    at: Link,
    /// Places that trusted checkpoints name, descending: the next one to come is the last.
    checkpoints: Vec<Link>,
}

impl Verifier {
    /// Begins after `anchor`: [`Link::START`], or the place of a trusted retention checkpoint. `checkpoints` are the places of
    /// those whose signatures were found good, in any order; those before the anchor say nothing any more.
    pub fn new(chain: ChainId, anchor: Link, mut checkpoints: Vec<Link>) -> Self {
        checkpoints.retain(|checkpoint| checkpoint.seq >= anchor.seq.max(1));
        checkpoints.sort_unstable_by_key(|checkpoint| Reverse((checkpoint.seq, checkpoint.hash)));
        checkpoints.dedup();
        Self { chain, anchor: anchor.seq, at: anchor, checkpoints }
    }

    /// The next record. One that the anchor covers may still be there, since retention removes records by days: such ones come
    /// first, and are passed over.
    ///
    /// # Errors
    /// With the first fault; what comes after it says nothing.
    pub fn record(&mut self, record: &Chained<'_>) -> Result<(), ChainFault> {
        let seq = record.link.seq;
        self.pass_checkpoints()?;
        if seq > 0 && seq <= self.anchor && self.at.seq == self.anchor {
            return Ok(());
        }
        let due = self.at.seq.saturating_add(1);
        if seq > due {
            return Err(ChainFault::Missing { first: due, last: seq - 1 });
        }
        if seq != due {
            return Err(ChainFault::Misplaced { seq });
        }
        let next = self.at.next(self.chain, record.event_id, record.at_ms, record.kind, record.json);
        if next != record.link {
            return Err(ChainFault::Changed { seq });
        }
        self.at = next;
        self.pass_checkpoints()
    }

    /// The end: whether a checkpoint names a record that did not come. Gives the last place.
    ///
    /// # Errors
    /// [`ChainFault::Missing`], or [`ChainFault::Checkpoint`] for an anchor that a checkpoint contradicts.
    pub fn end(mut self) -> Result<Link, ChainFault> {
        self.pass_checkpoints()?;
        match self.checkpoints.first() {
            Some(last) => Err(ChainFault::Missing { first: self.at.seq.saturating_add(1), last: last.seq }),
            None => Ok(self.at),
        }
    }

    /// Holds the checkpoints of this place against it.
    fn pass_checkpoints(&mut self) -> Result<(), ChainFault> {
        while let Some(checkpoint) = self.checkpoints.pop_if(|checkpoint| checkpoint.seq <= self.at.seq) {
            if checkpoint != self.at {
                return Err(ChainFault::Checkpoint { seq: checkpoint.seq });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
