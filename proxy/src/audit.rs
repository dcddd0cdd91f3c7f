//! The trail of who did what: [`Trail`] is opened by the edge for each request and closed exactly once, the spool keeps its
//! records on the local disk from before the call goes out, and [`Drain`] brings them to the store.
//!
//! What a record says and how it is written is `patchbay_core::audit`'s. On the path of a request nothing here waits or makes
//! a system call; a record that finds no room is refused, and said.

mod drain;
mod merge;
mod reader;
mod record;
mod recovery;
mod segment;
mod signer;
mod spool;
mod trail;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use patchbay_core::audit::EventId;

pub use drain::{Drain, DrainOptions, Flushed, Sink};
pub use record::{Row, Stage};
pub use signer::{Signer, is_signed};
use spool::Spool;
pub use spool::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, SpoolError, SpoolFull, SpoolOptions};
pub use trail::Trail;

/// The audit of this gateway: one for each process and data folder.
#[derive(Debug)]
pub struct Audit {
    spool: Spool,
    /// What no other gateway's event ids have in them.
    writer: u64,
    count: AtomicU64,
    missed: AtomicU64,
    drained: AtomicU64,
}

/// How much waits in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Bytes that are not drained, by whole segments.
    pub bytes: u64,
    /// Records that are not drained.
    pub records: u64,
}

impl Audit {
    /// Opens the audit over the spool in a folder.
    ///
    /// # Errors
    /// See [`SpoolError`].
    pub fn open(dir: &Path, options: SpoolOptions) -> Result<Arc<Self>, SpoolError> {
        Ok(Arc::new(Self {
            spool: Spool::open(dir, options)?,
            writer: u64::from_ne_bytes(patchbay_core::random_bytes()),
            count: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            drained: AtomicU64::new(0),
        }))
    }

    /// Whether another record would find room. What leaves only one record when it is over (a list) asks before it answers;
    /// a call is told by its [`Trail::intent`].
    pub fn has_room(&self) -> bool {
        self.spool.has_room()
    }

    /// How much waits.
    pub fn depth(&self) -> Depth {
        let records = self.spool.appended().saturating_sub(self.drained.load(Ordering::Relaxed));
        Depth { bytes: self.spool.bytes(), records }
    }

    fn event_id(&self, at_ms: i64) -> EventId {
        EventId::compose(at_ms, self.count.fetch_add(1, Ordering::Relaxed), self.writer)
    }

    /// Counts a record that found no room; the drain says so in the audit as soon as it can.
    fn missed(&self) {
        self.missed.fetch_add(1, Ordering::Relaxed);
    }
}

/// The time of audit records, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
