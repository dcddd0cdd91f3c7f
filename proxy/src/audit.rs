//! The trail of who did what: [`Trail`] is opened by the edge for each request and closed exactly once, the spool keeps its
//! records on the local disk from before the call goes out, and [`Drain`] brings them to the store.
//!
//! What a record says and how it is written is `patchbay_core::audit`'s. On the path of a request nothing here waits or makes
//! a system call, except for tenants who want their records on the disk ([`Audit::durable`]) and while the spool is nearly full;
//! a record that finds no room is refused, or counted and said.

mod chain;
mod checkpoints;
mod drain;
mod flush;
mod merge;
mod progress;
mod reader;
mod record;
mod recovery;
mod segment;
mod signer;
mod sink;
mod spool;
mod trail;
mod writer;

use std::{
    path::Path,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use patchbay_core::audit::{Action, Actor, AuditLevel, AuditPolicy, EventId, WhenFull, note_line};
use tracing::warn;

pub use drain::{Drain, DrainOptions, Flushed};
use flush::Flusher;
pub use flush::{NotKept, Syncs};
use progress::Progress;
use record::Head;
pub use record::{LinkedRow, Row, Stage};
pub use signer::{Signer, is_signed, is_signed_by_any};
pub use sink::{Sink, SinkError};
use spool::Spool;
pub use spool::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, SpoolError, SpoolFull, SpoolOptions};
pub use trail::Trail;
use writer::Writer;

/// The audit of this gateway: one for each process and data folder.
#[derive(Debug)]
pub struct Audit {
    spool: Spool,
    /// Started by the first who wants a record to be on the disk.
    flusher: Mutex<Option<Flusher>>,
    /// What no other gateway's event ids have in them.
    writer: u64,
    count: AtomicU64,
    missed: AtomicU64,
    gaps: AtomicU64,
    waits: OnceLock<Waits>,
    /// Under which number its records are chained.
    chained_by: Writer,
    progress: Progress,
}

/// Who is told how long answers wait for the disk.
struct Waits(Box<dyn Fn(Duration) + Send + Sync>);

impl std::fmt::Debug for Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waits")
    }
}

/// How much waits in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Depth {
    /// Bytes that are not drained, by whole segments.
    pub bytes: u64,
    /// Records that are not drained.
    pub records: u64,
    /// How long ago the oldest of them began, in milliseconds; 0 when there is none.
    pub lag_ms: u64,
    /// How often the store did not take what it was sent, since this process began.
    pub failures: u64,
    /// Checkpoints that the store took, since this process began.
    pub checkpoints: u64,
    /// How full the spool is, from 0 to 1. Room that its disk refuses is none.
    pub occupancy: f64,
    /// Whether the disk refused the spool more room when it wanted some last.
    pub stunted: bool,
}

impl Audit {
    /// Opens the audit over the spool in a folder.
    ///
    /// # Errors
    /// See [`SpoolError`].
    pub fn open(dir: &Path, options: SpoolOptions) -> Result<Arc<Self>, SpoolError> {
        let spool = Spool::open(dir, options)?;
        Ok(Arc::new(Self {
            chained_by: Writer::open(dir)?,
            spool,
            flusher: Mutex::default(),
            writer: u64::from_ne_bytes(patchbay_core::random_bytes()),
            count: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
            waits: OnceLock::new(),
            progress: Progress::default(),
        }))
    }

    /// Whether another record would find room.
    pub fn has_room(&self) -> bool {
        self.spool.has_room()
    }

    /// Whether a request may go on that leaves its only record when it is over (a list), by the tenant's policy. A call is told
    /// by its [`Trail::intent`].
    pub fn lets_on(&self, policy: &AuditPolicy) -> bool {
        policy.level == AuditLevel::Async || policy.when_full == WhenFull::Pass || self.has_room()
    }

    /// Waits until every record that was written before this call is on the disk, and survives a loss of power. Those who
    /// wait at the same time wait together.
    ///
    /// # Errors
    /// [`NotKept`], when the disk refuses or takes too long.
    pub fn durable(self: &Arc<Self>) -> impl Future<Output = Result<(), NotKept>> + Send + use<> {
        let (waiting, audit, began) = (self.flush(), self.clone(), Instant::now());
        async move {
            let kept = match waiting {
                Some(waiting) => waiting.await,
                None => Err(NotKept),
            };
            if let Some(Waits(told)) = audit.waits.get() {
                told(began.elapsed());
            }
            kept
        }
    }

    /// Tells how long each answer waits for the disk; the first who wants to know is told.
    pub fn tell_waits(&self, told: impl Fn(Duration) + Send + Sync + 'static) {
        // Whoever comes later is told by the first.
        let _ = self.waits.set(Waits(Box::new(told)));
    }

    /// Records that were written to the spool, or found there, since this process began.
    pub fn records(&self) -> u64 {
        self.spool.appended()
    }

    /// Records that found no room since this process began.
    pub fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }

    fn flush(self: &Arc<Self>) -> Option<impl Future<Output = Result<(), NotKept>> + Send + use<>> {
        let mut flusher = self.flusher.lock().unwrap_or_else(PoisonError::into_inner);
        if flusher.is_none() {
            let audit = Arc::downgrade(self);
            let sync = move || audit.upgrade().map_or(Ok(false), |audit| audit.spool.sync());
            *flusher =
                Flusher::start(sync).inspect_err(|error| warn!(%error, "no thread can be had to sync the audit")).ok();
        }
        flusher.as_ref().map(Flusher::durable)
    }

    /// How often the disk was asked to keep records.
    pub fn syncs(&self) -> Syncs {
        let flusher = self.flusher.lock().unwrap_or_else(PoisonError::into_inner);
        flusher.as_ref().map(Flusher::syncs).unwrap_or_default()
    }

    /// Writes down what the gateway itself has done, or what became of it.
    pub fn own_event(&self, action: Action, reason: &str) {
        let at_ms = now_ms();
        let id = self.event_id(at_ms);
        let head = Head { stage: Stage::Closed, event: id, tenant: None, at_ms, action }.bytes();
        let line = note_line(id, at_ms, None, action, &Actor::Gateway, reason);
        if self.spool.append(&[&head, line.as_bytes()]).is_err() {
            self.missed();
        }
    }

    /// How much waits.
    pub fn depth(&self) -> Depth {
        let records = self.spool.appended().saturating_sub(self.progress.drained());
        let since_ms = reader::oldest_ms(&self.spool).filter(|_| records > 0);
        Depth {
            bytes: self.spool.bytes(),
            occupancy: self.spool.occupancy(),
            stunted: self.spool.is_stunted(),
            records,
            lag_ms: since_ms.map_or(0, |at_ms| now_ms().saturating_sub(at_ms).max(0).unsigned_abs()),
            failures: self.progress.failures(),
            checkpoints: self.progress.checkpoints(),
        }
    }

    /// Puts a disk that does as it is told in the place of the real one.
    #[cfg(test)]
    pub(crate) fn set_disk(&self, sync: impl FnMut() -> std::io::Result<bool> + Send + 'static) {
        *self.flusher.lock().unwrap() = Some(Flusher::start(sync).unwrap());
    }

    fn event_id(&self, at_ms: i64) -> EventId {
        EventId::compose(at_ms, self.count.fetch_add(1, Ordering::Relaxed), self.writer)
    }

    /// Counts a record that found no room; the drain says so in the audit as soon as it can.
    fn missed(&self) {
        self.missed.fetch_add(1, Ordering::Relaxed);
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }
}

/// The time of audit records, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
