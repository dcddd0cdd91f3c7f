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
    pub(super) sent: AtomicU64,
    pub(super) failed: AtomicU64,
    dropped: AtomicU64,
}

/// What became of spans so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelemetryStats {
    /// Spans that wait to be sent.
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
        (count > 0).then(|| waiting.drain(..count).collect())
    }

    /// Gives up what still waits.
    pub(super) fn give_up(&self) {
        let left = std::mem::take(&mut *self.waiting()).len();
        self.failed.fetch_add(left as u64, Relaxed);
    }

    pub(super) fn stats(&self) -> TelemetryStats {
        TelemetryStats {
            waiting: self.waiting().len() as u64,
            sent: self.sent.load(Relaxed),
            failed: self.failed.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Span>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
