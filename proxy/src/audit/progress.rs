//! How far draining is, in numbers for the metrics. The drain counts, [`super::Audit::depth`] reads.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the drain has done since this process began.
#[derive(Debug, Default)]
pub(super) struct Progress {
    drained: AtomicU64,
    failures: AtomicU64,
    checkpoints: AtomicU64,
}

impl Progress {
    /// Records of the spool that the store has.
    pub(super) fn drained(&self) -> u64 {
        self.drained.load(Ordering::Relaxed)
    }

    /// Attempts that came to nothing.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Checkpoints that the store has.
    pub(super) fn checkpoints(&self) -> u64 {
        self.checkpoints.load(Ordering::Relaxed)
    }

    pub(super) fn drained_more(&self, records: u64) {
        self.drained.fetch_add(records, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn checkpointed(&self, checkpoints: u64) {
        self.checkpoints.fetch_add(checkpoints, Ordering::Relaxed);
    }
}
