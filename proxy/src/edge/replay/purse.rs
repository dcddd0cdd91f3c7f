//! What is kept, counted in bytes: of one principal, and of all together. Counting never refuses, since what a client is reading
//! has to pass; who keeps something looks whether it is over the bounds, and gives up what it may.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::STREAM_BYTES;

/// Bytes that are kept for the streams of one principal.
const PRINCIPAL_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes that are kept for all streams.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// The count of one principal.
#[derive(Debug)]
pub(super) struct Purse {
    own: AtomicUsize,
    streams: AtomicUsize,
    all: Arc<AtomicUsize>,
}

impl Purse {
    /// An empty one, which counts into `all` too.
    pub(super) const fn new(all: Arc<AtomicUsize>) -> Self {
        Self { own: AtomicUsize::new(0), streams: AtomicUsize::new(0), all }
    }

    /// Another stream. To be called while nobody else can take the purse away.
    pub(super) fn enter(self: &Arc<Self>) -> Arc<Self> {
        self.streams.fetch_add(1, Ordering::Relaxed);
        self.add(STREAM_BYTES);
        self.clone()
    }

    /// A stream less; says whether it was the last. The same holds.
    pub(super) fn leave(&self) -> bool {
        self.sub(STREAM_BYTES);
        self.streams.fetch_sub(1, Ordering::Relaxed) == 1
    }

    pub(super) fn add(&self, bytes: usize) {
        self.own.fetch_add(bytes, Ordering::Relaxed);
        self.all.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn sub(&self, bytes: usize) {
        self.own.fetch_sub(bytes, Ordering::Relaxed);
        self.all.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether too much is kept.
    pub(super) fn is_over(&self) -> bool {
        self.own.load(Ordering::Relaxed) > PRINCIPAL_BYTES_MAX || self.all.load(Ordering::Relaxed) > BYTES_MAX
    }
}
