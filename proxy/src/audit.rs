//! The trail of who did what: [`Trail`] is opened by the edge for each request and closed exactly once, the spool keeps its
//! records on the local disk from before the call goes out, and [`Drain`] brings them to the store.
//!
//! What a record says and how it is written is `patchbay_core::audit`'s. On the path of a request nothing here waits or makes
//! a system call, except for tenants who want their records on the disk ([`Audit::durable`]) and while the spool is nearly full;
//! a record that finds no room is refused, or counted and said.

mod drain;
mod flush;
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
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use patchbay_core::{
    TenantId,
    audit::{Action, Actor, AuditLevel, AuditPolicy, Ending, Event, EventId, Outcome, WhenFull},
};
use tracing::warn;

pub use drain::{Drain, DrainOptions, Flushed, Sink};
use flush::Flusher;
pub use flush::{NotKept, Syncs};
use record::Head;
pub use record::{Row, Stage};
pub use signer::{Signer, is_signed};
use spool::Spool;
pub use spool::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, SpoolError, SpoolFull, SpoolOptions};
pub use trail::Trail;

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
    drained: AtomicU64,
}

/// How much waits in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Depth {
    /// Bytes that are not drained, by whole segments.
    pub bytes: u64,
    /// Records that are not drained.
    pub records: u64,
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
        Ok(Arc::new(Self {
            spool: Spool::open(dir, options)?,
            flusher: Mutex::default(),
            writer: u64::from_ne_bytes(patchbay_core::random_bytes()),
            count: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            drained: AtomicU64::new(0),
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
        let waiting = self.flush();
        async move {
            match waiting {
                Some(waiting) => waiting.await,
                None => Err(NotKept),
            }
        }
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
        let event = own(self.event_id(at_ms), at_ms, action, None, &Actor::Gateway);
        let head = Head { stage: Stage::Closed, event: event.id, tenant: None, at_ms, action }.bytes();
        if self.spool.append(&[&head, &whole_line(&event, reason)]).is_err() {
            self.missed();
        }
    }

    /// How much waits.
    pub fn depth(&self) -> Depth {
        let records = self.spool.appended().saturating_sub(self.drained.load(Ordering::Relaxed));
        let Self { spool, .. } = self;
        Depth { bytes: spool.bytes(), records, occupancy: spool.occupancy(), stunted: spool.is_stunted() }
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
    }
}

/// The record of a change of a tenant's configuration. It is made where the store is at hand (the command line), and goes there
/// without the spool, which belongs to the gateway that runs.
#[expect(clippy::needless_pass_by_value, reason = "callers name the actor on the spot")]
pub fn config_record(tenant: TenantId, actor: Actor, what: &str) -> Row {
    let at_ms = now_ms();
    let id = EventId::compose(at_ms, 0, u64::from_ne_bytes(patchbay_core::random_bytes()));
    let event = own(id, at_ms, Action::ConfigUpdate, Some(tenant), &actor);
    Row {
        event: event.id.bits(),
        stage: Stage::Closed,
        tenant: event.tenant,
        at_ms,
        kind: event.action.as_str(),
        json: String::from_utf8_lossy(&whole_line(&event, what)).into_owned(),
    }
}

/// An event that no request brought.
const fn own(id: EventId, at_ms: i64, action: Action, tenant: Option<TenantId>, actor: &Actor) -> Event<'_> {
    Event {
        id,
        at_ms,
        action,
        tenant,
        toolset: None,
        revision: None,
        actor,
        ip: None,
        agent: None,
        rpc: None,
        trace: None,
        target: None,
    }
}

/// The line of an event that was over when it was written down.
fn whole_line(event: &Event<'_>, reason: &str) -> Vec<u8> {
    let mut line = Vec::with_capacity(512);
    event.write(&mut line);
    let ending = Ending { reason: Some(reason), ..Ending::answered(0) };
    Outcome { decision: None, rule: None, ending, bytes_in: 0, bytes_out: 0, duration_us: 0 }.write(&mut line);
    line
}

/// The time of audit records, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
