//! The trail of who did what: [`Trail`] is opened by the edge for each request and closed exactly once, the spool keeps its
//! records on the local disk from before the call goes out, and [`Drain`] brings them to the store.
//!
//! What a record says and how it is written is `patchbay_core::audit`'s. On the path of a request nothing here waits or makes
//! a system call; a record that finds no room is refused, and said.

mod chain;
mod checkpoints;
mod drain;
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
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use patchbay_core::{
    TenantId,
    audit::{Action, Actor, Ending, Event, EventId, Outcome},
};

pub use drain::{Drain, DrainOptions, Flushed};
use progress::Progress;
pub use record::{LinkedRow, Row, Stage};
pub use signer::{Signer, is_signed};
pub use sink::{Sink, SinkError};
use spool::Spool;
pub use spool::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, SpoolError, SpoolFull, SpoolOptions};
pub use trail::Trail;
use writer::Writer;

/// The audit of this gateway: one for each process and data folder.
#[derive(Debug)]
pub struct Audit {
    spool: Spool,
    /// What no other gateway's event ids have in them.
    writer: u64,
    count: AtomicU64,
    missed: AtomicU64,
    /// Under which number its records are chained.
    chained_by: Writer,
    progress: Progress,
}

/// How much waits in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
            writer: u64::from_ne_bytes(patchbay_core::random_bytes()),
            count: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            progress: Progress::default(),
        }))
    }

    /// Whether another record would find room. What leaves only one record when it is over (a list) asks before it answers;
    /// a call is told by its [`Trail::intent`].
    pub fn has_room(&self) -> bool {
        self.spool.has_room()
    }

    /// How much waits.
    pub fn depth(&self) -> Depth {
        let records = self.spool.appended().saturating_sub(self.progress.drained());
        let since_ms = reader::oldest_ms(&self.spool).filter(|_| records > 0);
        Depth {
            bytes: self.spool.bytes(),
            records,
            lag_ms: since_ms.map_or(0, |at_ms| now_ms().saturating_sub(at_ms).max(0).unsigned_abs()),
            failures: self.progress.failures(),
            checkpoints: self.progress.checkpoints(),
        }
    }

    fn event_id(&self, at_ms: i64) -> EventId {
        EventId::compose(at_ms, self.count.fetch_add(1, Ordering::Relaxed), self.writer)
    }

    /// Counts a record that found no room; the drain says so in the audit as soon as it can.
    fn missed(&self) {
        self.missed.fetch_add(1, Ordering::Relaxed);
    }
}

/// The record of a change of a tenant's configuration. It is made where the store is at hand (the command line), and goes there
/// without the spool, which belongs to the gateway that runs.
#[expect(clippy::needless_pass_by_value, reason = "callers name the actor on the spot")]
pub fn config_record(tenant: TenantId, actor: Actor, what: &str) -> Row {
    let at_ms = now_ms();
    let event = Event {
        id: EventId::compose(at_ms, 0, u64::from_ne_bytes(patchbay_core::random_bytes())),
        at_ms,
        action: Action::ConfigUpdate,
        tenant: Some(tenant),
        toolset: None,
        actor: &actor,
        ip: None,
        agent: None,
        request: None,
        target: None,
    };
    let mut line = Vec::with_capacity(512);
    event.write(&mut line);
    let ending = Ending { reason: Some(what), ..Ending::answered(0) };
    Outcome { ending, bytes_in: 0, bytes_out: 0, duration_us: 0 }.write(&mut line);
    Row {
        event: event.id.bits(),
        stage: Stage::Closed,
        tenant: event.tenant,
        at_ms,
        kind: event.action.as_str(),
        json: String::from_utf8_lossy(&line).into_owned(),
    }
}

/// The time of audit records, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
