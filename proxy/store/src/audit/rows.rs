//! Between the audit's rows and their values, once for both databases: what a `SELECT` gives, and how columns are written. A
//! chain's tenant is its id, or empty; numbers of 64 bits keep their bits.

use std::borrow::Cow;

use patchbay_core::{
    TenantId,
    audit::{ChainId, Checkpoint, CheckpointReason, Facets, Link, WriterId},
};
use sqlx::FromRow;

use super::{AUDIT_PAGE_MAX, AuditHead, AuditRow};
use crate::{
    StoreError,
    rows::{bits, corrupt, count, fixed},
};

/// The columns of an [`AuditRecord`], and the order in which rows are written.
pub(crate) const COLUMNS: &str =
    "event_id, tenant_id, at_ms, kind, json, writer, seq, hash, actor, server, name, outcome";

/// The longest text by which a row is found, so that it fits into an index; what is longer is cut. Records cut theirs before.
const FACET_BYTES_MAX: usize = 600;

/// A text by which rows are found, as it is written and as it is looked for.
pub(crate) fn facet(text: &str) -> Cow<'_, str> {
    let text = &text[..text.floor_char_boundary(FACET_BYTES_MAX)];
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

pub(crate) fn tenant_column(tenant: Option<TenantId>) -> Vec<u8> {
    tenant.map_or_else(Vec::new, |tenant| tenant.bits().to_be_bytes().to_vec())
}

pub(crate) const fn writer_column(writer: WriterId) -> i64 {
    writer.0.cast_signed()
}

/// The number of a record; there is none beyond what the column holds.
pub(crate) fn seq_column(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// What is smaller than the id of every event from this time on, and not of any before.
pub(crate) fn event_floor(at_ms: i64) -> u128 {
    match u128::try_from(at_ms) {
        Ok(at_ms) if at_ms < 1 << 48 => at_ms << 80,
        Ok(_) => u128::MAX,
        Err(_) => 0,
    }
}

/// The first checkpoints of a list that was read one longer than a page, so that the last place has all of its own.
pub(crate) fn whole_places(mut checkpoints: Vec<Checkpoint>) -> Vec<Checkpoint> {
    if checkpoints.len() > AUDIT_PAGE_MAX as usize {
        let cut = checkpoints.pop().map(|checkpoint| checkpoint.link.seq);
        while checkpoints.last().map(|checkpoint| checkpoint.link.seq) == cut {
            checkpoints.pop();
        }
    }
    checkpoints
}

fn chain(tenant: &[u8], writer: i64) -> Result<ChainId, StoreError> {
    let tenant = if tenant.is_empty() { None } else { Some(TenantId::from_bits(bits("tenant id", tenant)?)) };
    Ok(ChainId { tenant, writer: WriterId(writer.cast_unsigned()) })
}

fn link(seq: i64, hash: &[u8]) -> Result<Link, StoreError> {
    Ok(match count(seq)? {
        0 => Link::START,
        seq => Link { seq, hash: fixed("hash of an audit record", hash)? },
    })
}

#[derive(FromRow)]
pub(crate) struct AuditRecord {
    event_id: Vec<u8>,
    tenant_id: Option<Vec<u8>>,
    at_ms: i64,
    kind: String,
    json: String,
    writer: i64,
    seq: i64,
    hash: Vec<u8>,
    actor: Option<String>,
    server: Option<String>,
    name: Option<String>,
    outcome: Option<String>,
}

impl TryFrom<AuditRecord> for AuditRow {
    type Error = StoreError;

    fn try_from(record: AuditRecord) -> Result<Self, StoreError> {
        Ok(Self {
            event_id: bits("event id", &record.event_id)?,
            chain: chain(record.tenant_id.as_deref().unwrap_or_default(), record.writer)?,
            link: link(record.seq, &record.hash)?,
            at_ms: record.at_ms,
            kind: record.kind,
            facets: Facets {
                actor: record.actor.unwrap_or_default(),
                server: record.server,
                name: record.name,
                outcome: record.outcome.unwrap_or_default(),
            },
            json: record.json,
        })
    }
}

#[derive(FromRow)]
pub(crate) struct HeadRecord {
    tenant: Vec<u8>,
    writer: i64,
    seq: i64,
    hash: Vec<u8>,
    at_ms: i64,
}

impl TryFrom<HeadRecord> for AuditHead {
    type Error = StoreError;

    fn try_from(record: HeadRecord) -> Result<Self, StoreError> {
        let chain = chain(&record.tenant, record.writer)?;
        Ok(Self { chain, last: link(record.seq, &record.hash)?, at_ms: record.at_ms })
    }
}

#[derive(FromRow)]
pub(crate) struct ChainRecord {
    tenant: Vec<u8>,
    writer: i64,
}

impl TryFrom<ChainRecord> for ChainId {
    type Error = StoreError;

    fn try_from(record: ChainRecord) -> Result<Self, StoreError> {
        chain(&record.tenant, record.writer)
    }
}

#[derive(FromRow)]
pub(crate) struct LinkRecord {
    pub(crate) tenant: Vec<u8>,
    pub(crate) writer: i64,
    pub(crate) seq: i64,
    pub(crate) hash: Vec<u8>,
}

impl TryFrom<LinkRecord> for (ChainId, Link) {
    type Error = StoreError;

    fn try_from(record: LinkRecord) -> Result<Self, StoreError> {
        Ok((chain(&record.tenant, record.writer)?, link(record.seq, &record.hash)?))
    }
}

#[derive(FromRow)]
pub(crate) struct CursorRecord {
    tenant: Vec<u8>,
    writer: i64,
    seq: i64,
}

impl TryFrom<CursorRecord> for (ChainId, u64) {
    type Error = StoreError;

    fn try_from(record: CursorRecord) -> Result<Self, StoreError> {
        Ok((chain(&record.tenant, record.writer)?, count(record.seq)?))
    }
}

/// A checkpoint, also as it is written.
#[derive(FromRow)]
pub(crate) struct CheckpointRecord {
    pub(crate) tenant: Vec<u8>,
    pub(crate) writer: i64,
    pub(crate) seq: i64,
    pub(crate) reason: i64,
    pub(crate) hash: Vec<u8>,
    pub(crate) at_ms: i64,
    pub(crate) signature: Vec<u8>,
}

impl From<&Checkpoint> for CheckpointRecord {
    fn from(checkpoint: &Checkpoint) -> Self {
        Self {
            tenant: tenant_column(checkpoint.chain.tenant),
            writer: writer_column(checkpoint.chain.writer),
            seq: seq_column(checkpoint.link.seq),
            reason: match checkpoint.reason {
                CheckpointReason::Head => 0,
                CheckpointReason::Retention => 1,
            },
            hash: checkpoint.link.hash.to_vec(),
            at_ms: checkpoint.at_ms,
            signature: checkpoint.signature.to_vec(),
        }
    }
}

impl TryFrom<CheckpointRecord> for Checkpoint {
    type Error = StoreError;

    fn try_from(record: CheckpointRecord) -> Result<Self, StoreError> {
        Ok(Self {
            chain: chain(&record.tenant, record.writer)?,
            link: link(record.seq, &record.hash)?,
            reason: match record.reason {
                0 => CheckpointReason::Head,
                1 => CheckpointReason::Retention,
                other => return Err(corrupt("reason of a checkpoint", &format!("{other} is none"))),
            },
            at_ms: record.at_ms,
            signature: fixed("signature of a checkpoint", &record.signature)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use patchbay_core::audit::EventId;

    use super::*;

    #[test]
    fn times_are_smaller_than_the_ids_of_their_events_and_not_of_those_before() {
        let id = |at_ms| EventId::compose(at_ms, 0, 0).bits();
        let last = |at_ms| EventId::compose(at_ms, u64::MAX, u64::MAX).closing_bits();
        let now_ms = 1_795_000_000_000;
        assert!(last(now_ms - 1) < event_floor(now_ms) && event_floor(now_ms) < id(now_ms));
        assert_eq!((event_floor(-1), event_floor(i64::MIN), event_floor(i64::MAX)), (0, 0, u128::MAX));
    }

    #[test]
    fn a_long_list_of_checkpoints_ends_with_a_whole_place() {
        let of = |seq, reason| Checkpoint {
            chain: ChainId { tenant: None, writer: WriterId(1) },
            link: Link { seq, hash: [0; 32] },
            reason,
            at_ms: 0,
            signature: [0; 64],
        };
        let page = u64::from(AUDIT_PAGE_MAX);
        let mut long: Vec<_> = (1..=page).map(|seq| of(seq, CheckpointReason::Head)).collect();
        assert_eq!(whole_places(long.clone()).len() as u64, page);
        long.push(of(page, CheckpointReason::Retention));
        assert_eq!(whole_places(long.clone()).last().map(|last| last.link.seq), Some(page - 1));
        long.last_mut().expect("it is long").link.seq = page + 1;
        assert_eq!(whole_places(long).last().map(|last| last.link.seq), Some(page));
    }

    #[test]
    fn texts_that_rows_are_found_by_fit_into_an_index_of_postgres() {
        assert_eq!(facet("a\0b"), "a\u{fffd}b");
        assert!(matches!(facet("token:corp:ann"), Cow::Borrowed("token:corp:ann")));
        assert_eq!(facet(&"語".repeat(1000)).len(), FACET_BYTES_MAX);
    }
}
