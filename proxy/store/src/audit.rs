//! The audit as the store keeps it: rows that are only ever added, in chains, with their heads, checkpoints, cursors and leases.
//!
//! Here is the trait with its values, and below it what both databases do alike. What a record says, how a chain is hashed and
//! how a checkpoint is signed is not the store's affair.

mod chains;
mod filter;
mod rows;

use std::{collections::HashSet, time::Duration};

use async_trait::async_trait;
use patchbay_core::{
    TenantId,
    audit::{Action, Actor, ChainId, Checkpoint, Facets, Link, WriterId},
};

use crate::StoreError;

pub(crate) use chains::{advance, noted, operators, places};
pub(crate) use filter::page;
pub(crate) use rows::{
    AuditRecord, COLUMNS, ChainRecord, CheckpointRecord, CursorRecord, HeadRecord, LinkRecord, event_floor, facet,
    seq_column, tenant_column, whole_places, writer_column,
};

/// How many rows [`AuditLog::audit_page`], [`AuditLog::audit_chain`] and [`AuditLog::audit_checkpoint_list`] give at the most,
/// whatever they are asked for.
pub const AUDIT_PAGE_MAX: u32 = 10_000;

/// How far a lease may end after one that is asked for now: farther ahead, it was taken by a clock that was wrong.
pub(crate) const LEASE_AHEAD_MAX_MS: i64 = 3600 * 1000;

/// How long one removal goes on; what is left then is removed the next time.
pub(crate) const RETAIN_MAX: Duration = Duration::from_secs(60);
/// Rows that are removed at once, so that other writers never wait for long.
pub(crate) const RETAIN_ROWS_MAX: u64 = 2000;

/// The audit, as rows that are only ever added, in chains.
///
/// Each chain has a head, the place of its last row, which stays known when the row itself is gone. A chain loses its beginning
/// only, by [`Self::audit_retain`], which leaves a signed retention checkpoint: the anchor, from which on the chain can be
/// verified. Rows at or before the anchor that are still there (a removal takes several steps) say nothing and are to be passed
/// over.
#[async_trait]
pub trait AuditLog {
    /// Adds rows, all of them or none, and moves the heads of their chains; those whose event id is there already are passed
    /// over, so that a batch may be sent twice. Gives the number of new ones.
    ///
    /// The new rows of a chain must continue it from its head without a gap, in whichever order they come. Rows with
    /// [`Link::START`] are in no chain.
    ///
    /// # Errors
    /// [`StoreError::Chain`] when they do not continue it: somebody else wrote to this chain. The heads and the known ids are
    /// then to be read again.
    async fn audit_append(&self, rows: &[AuditRow]) -> Result<u64, StoreError>;

    /// Which of these event ids are there.
    async fn audit_known(&self, ids: &[u128]) -> Result<HashSet<u128>, StoreError>;

    /// Where chains are: those of a writer, of a tenant (`Some(None)` for those of no tenant), or all.
    async fn audit_heads(
        &self,
        writer: Option<WriterId>,
        tenant: Option<Option<TenantId>>,
    ) -> Result<Vec<AuditHead>, StoreError>;

    /// All chains of which there is anything: a head, a row or a checkpoint. Whoever removes a head hides no chain from this.
    /// Reads an index as a whole, so it is for those who read all rows anyway. `tenant` as in [`Self::audit_heads`].
    async fn audit_chains(&self, tenant: Option<Option<TenantId>>) -> Result<Vec<ChainId>, StoreError>;

    /// How many rows there are, of one tenant or of all.
    async fn audit_count(&self, tenant: Option<TenantId>) -> Result<u64, StoreError>;

    /// Rows that the filter lets through, newest first by their event ids, [`AUDIT_PAGE_MAX`] at the most. The event id of
    /// the last one is where the next page begins ([`AuditFilter::before`]).
    async fn audit_page(&self, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditRow>, StoreError>;

    /// The rows of one chain after this number, in the order of their numbers, [`AUDIT_PAGE_MAX`] at the most.
    async fn audit_chain(&self, chain: ChainId, after_seq: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError>;

    /// How many rows are in no chain: they are from before there were chains, or from an older Patchbay.
    async fn audit_unchained(&self, tenant: Option<TenantId>) -> Result<u64, StoreError>;

    /// Keeps checkpoints. One for a chain, place and reason that are there already changes nothing.
    async fn audit_checkpoint_put(&self, checkpoints: &[Checkpoint]) -> Result<(), StoreError>;

    /// The checkpoints of a chain after this number, by their places, [`AUDIT_PAGE_MAX`] at the most; where there are more, they
    /// come when asked for after the last one's place. (A place with both reasons is never cut in two.)
    async fn audit_checkpoint_list(&self, chain: ChainId, after_seq: u64) -> Result<Vec<Checkpoint>, StoreError>;

    /// How far a sink has come in each chain: the number of the last row that it has.
    async fn audit_cursor_list(&self, sink: &str) -> Result<Vec<(ChainId, u64)>, StoreError>;

    /// Notes how far a sink has come; a cursor never goes back.
    async fn audit_cursor_put(&self, sink: &str, cursors: &[(ChainId, u64)]) -> Result<(), StoreError>;

    /// Takes the right to do `work` (a sink, the retention) until `until_ms`. `true` for one holder at a time, over all
    /// replicas; the same holder may take it again, also to end it (`until_ms` not after `now_ms`).
    ///
    /// A lease that ends more than an hour after this one would was taken by a clock that was wrong, and holds nobody off.
    async fn audit_lease(&self, work: &str, holder: u64, now_ms: i64, until_ms: i64) -> Result<bool, StoreError>;

    /// What [`Self::audit_retain`] would remove: for each chain that would lose rows, the last of them. This is the row before
    /// the first one that stays, because it began at this moment or later; a row that began earlier and stands behind that one
    /// (its call took long) stays with it for now. So a chain never has a hole.
    ///
    /// Postgres keeps the rows of each day in a partition; of a day of which only a part is before the moment, all rows stay.
    async fn audit_expired(&self, before_ms: i64) -> Result<Vec<(ChainId, Link)>, StoreError>;

    /// Removes what began before this moment: of each chain in `anchors` the rows up to its anchor, and rows in no chain.
    /// `anchors` are the signed retention checkpoints of what [`Self::audit_expired`] gave for the same moment; they are kept
    /// before anything goes, and the chains' checkpoints before them go. Gives the number of rows.
    ///
    /// Rows that come meanwhile are never touched: their numbers are after the anchors. Other writers are not held up, since
    /// rows go in batches, or with a whole partition; what is not done within a minute is left for the next time.
    async fn audit_retain(&self, before_ms: i64, anchors: &[Checkpoint]) -> Result<u64, StoreError>;

    /// Notes what an operator did that changes no tenant: a look into the audit, a removal. Chained like the notes of
    /// changes.
    async fn audit_note(&self, tenant: Option<TenantId>, action: Action, note: &Note) -> Result<(), StoreError>;

    /// Makes ready what rows of today and the next seven days will need (partitions). Safe to call at any time, by all replicas.
    ///
    /// # Errors
    /// Says which day cannot be made ready, and why. Nothing is lost by that: the rows of such a day are taken all the same, and
    /// only their removal costs more.
    async fn audit_prepare(&self, now_ms: i64) -> Result<(), StoreError>;
}

/// One event of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// The bits of the event's UUID, version 7.
    pub event_id: u128,
    /// Its chain; the tenant is whose it is.
    pub chain: ChainId,
    /// Its place there. Rows from before there were chains have [`Link::START`].
    pub link: Link,
    /// When it was, in milliseconds since 1970.
    pub at_ms: i64,
    /// What sort of event it is.
    pub kind: String,
    /// What it is found by. Characters that are 0 are kept as U+FFFD, since Postgres knows none.
    pub facets: Facets,
    /// The event, kept byte for byte.
    pub json: String,
}

impl AuditRow {
    /// Whether it is found by what its record says, and by nothing else.
    pub fn is_found_as_said(&self) -> bool {
        let Facets { actor, server, name, outcome } = Facets::of(&self.json);
        let kept = |text: String| facet(&text).into_owned();
        let said =
            Facets { actor: kept(actor), server: server.map(kept), name: name.map(kept), outcome: kept(outcome) };
        said == self.facets
    }
}

/// Where a chain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// The chain.
    pub chain: ChainId,
    /// Its last row.
    pub last: Link,
    /// The time of that row, in milliseconds since 1970.
    pub at_ms: i64,
}

/// Which rows are wanted; what is absent lets all through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of this tenant; `Some(None)` for those of no tenant.
    pub tenant: Option<Option<TenantId>>,
    /// That began at this time or later, in milliseconds since 1970, by the time in their event ids.
    pub from_ms: Option<i64>,
    /// That began before this time.
    pub to_ms: Option<i64>,
    /// Of this sort.
    pub kind: Option<String>,
    /// By this actor, in the words of [`Facets::actor`]; with a `*` at its end, by all that begin so.
    pub actor: Option<String>,
    /// At this server.
    pub server: Option<String>,
    /// Of this tool, prompt or URI, by the name that the client used.
    pub name: Option<String>,
    /// With this outcome.
    pub outcome: Option<String>,
    /// Older than this event.
    pub before: Option<u128>,
}

/// Who changes a tenant and what for: the audit's record of the change, written in the same transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Who.
    pub actor: Actor,
    /// What, in a sentence for people. No secrets.
    pub what: String,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

impl Note {
    /// A change by somebody.
    pub fn by(actor: Actor, what: impl Into<String>, at_ms: i64) -> Self {
        Self { actor, what: what.into(), at_ms }
    }

    /// A change by the operator, at the command line.
    pub fn by_operator(what: impl Into<String>, at_ms: i64) -> Self {
        Self { actor: Actor::Operator, what: what.into(), at_ms }
    }
}
