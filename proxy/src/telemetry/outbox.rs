//! Spans that have ended and are still to be sent: a bounded list between the requests, which only put something into it, and the
//! one task that takes it out. A span that finds no room is counted and gone; no request waits.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::sync::Notify;

/// The most spans that wait.
pub(super) const SPANS_WAITING_MAX: usize = 4096;
/// The most spans of one message to the collector; the task is woken when so many wait.
pub(super) const BATCH_SPANS_MAX: usize = 512;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<Vec<Span>>,
    /// Told when a batch is full.
    pub(super) full: Notify,
    /// Spans of the batch that is being sent.
    in_hand: AtomicU64,
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// What became of spans so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelemetryStats {
    /// Spans that wait to be sent, or are being sent.
    pub waiting: u64,
    /// Spans that the collector took.
    pub sent: u64,
    /// Spans that the collector refused, or that could not be brought to it.
    pub failed: u64,
    /// Spans that found no room.
    pub dropped: u64,
}

impl TelemetryStats {
    /// The spans that will never arrive.
    pub const fn lost(&self) -> u64 {
        self.failed + self.dropped
    }
}

impl Outbox {
    /// Puts a span in. The task is woken once for each batch, not for each span: a waking of another thread is a system call.
    pub(super) fn put(&self, span: Span) {
        let count = {
            let mut waiting = self.waiting();
            if waiting.len() >= SPANS_WAITING_MAX {
                drop(waiting);
                self.dropped.fetch_add(1, Relaxed);
                return;
            }
            waiting.push(span);
            waiting.len()
        };
        if count == BATCH_SPANS_MAX {
            self.full.notify_one();
        }
    }

    /// The next batch, the oldest first.
    pub(super) fn take(&self) -> Option<Vec<Span>> {
        let mut waiting = self.waiting();
        let count = waiting.len().min(BATCH_SPANS_MAX);
        self.in_hand.store(count as u64, Relaxed);
        (count > 0).then(|| waiting.drain(..count).collect())
    }

    /// What became of the batch that was taken: of so many spans, so many are lost.
    pub(super) fn settle(&self, count: u64, lost: u64) {
        self.in_hand.store(0, Relaxed);
        let lost = lost.min(count);
        self.sent.fetch_add(count - lost, Relaxed);
        self.failed.fetch_add(lost, Relaxed);
    }

    /// Gives up what still waits, and says how much that was.
    pub(super) fn give_up(&self) -> u64 {
        let left = std::mem::take(&mut *self.waiting()).len() as u64 + self.in_hand.swap(0, Relaxed);
        self.failed.fetch_add(left, Relaxed);
        left
    }

    pub(super) fn stats(&self) -> TelemetryStats {
        TelemetryStats {
            waiting: self.waiting().len() as u64 + self.in_hand.load(Relaxed),
            sent: self.sent.load(Relaxed),
            failed: self.failed.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Span>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
