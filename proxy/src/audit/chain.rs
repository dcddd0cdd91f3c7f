//! Links records to the chains that this gateway writes. [`Chains`] knows where they are in the store; the drain, the one
//! caller, sends what was linked and says what became of it.
//!
//! # Why no record is lost, and none is chained twice
//!
//! A record leaves the spool only once the store has it, so none is lost; the question is whether one comes twice, or a link
//! goes astray. The store holds the one truth: it keeps an id once, takes a batch whole or not at all, and takes new rows only
//! if they continue their chain from its head. Here a place counts as a chain's end only if the store said so: it was read from
//! there, or all rows of a batch were new to it. What was linked to it and not confirmed is forgotten or sent again as it is.
//! So, wherever it stops:
//!
//! - **Before a batch is sent, or refused or rolled back**: the store has none of it. The records are on the spool and are
//!   linked again from the same place.
//! - **Sent and committed, but the answer was lost**, or too late: the same rows come again, byte for byte, and none is new.
//!   The heads are read then, since only the store knows whether it was this batch that it kept.
//! - **Killed after the store had the batch and before the spool let go of it**: the next start finds the records. Of all that
//!   lay on the spool at a start it asks whether the store knows them, and passes over those; the rest goes behind the heads
//!   that it reads. A call whose first record was stored alone, and whose second one was found with it, is one row now, under
//!   the second id: it is new, and both stay, as for each call that runs on. A first record whose second is in the store is
//!   passed over, since that one says it all.
//! - **Killed while the store was committing**, so that it ends after the next start asked: ids that were linked twice are then
//!   not new, or the rows do not continue their chain. Both are told by the store, and both lead to asking it again.
//! - **Two gateways with one data folder's copy**: whichever comes second does not continue the chain. It takes a new number,
//!   asks which rows of its batch are there, and begins chains of its own. What both found on the spool is kept once.
//!
//! The record of a gap (records that found no room) has no place on the spool; it is kept in memory until the store has it.

use std::collections::{HashMap, HashSet};

use patchbay_core::{
    TenantId,
    audit::{ChainId, Facets, Link, WriterId},
};

use super::{LinkedRow, Row};

/// How often in a row the store's word on where chains are is taken, before this gateway begins new ones.
const ADOPTIONS_MAX: u32 = 3;

/// Where this gateway's chains are, as the store has said.
pub(super) struct Chains {
    writer: WriterId,
    heads: HashMap<Option<TenantId>, Head>,
    /// Whether the heads were read, or there can be none.
    is_read: bool,
    adoptions: u32,
}

/// Where a chain is.
#[derive(Clone, Copy)]
struct Head {
    link: Link,
    /// Whether this run has moved it there. From then on nobody else may; before, what an earlier run sent may still come.
    is_ours: bool,
}

/// Rows that continue their chains.
pub(super) struct Batch {
    pub(super) rows: Vec<LinkedRow>,
    ends: HashMap<Option<TenantId>, End>,
}

/// What a batch makes of a chain.
#[derive(Clone, Copy)]
struct End {
    link: Link,
    rows: u64,
}

impl Chains {
    /// The chains of a writer, which are still to be read.
    pub(super) fn of(writer: WriterId) -> Self {
        Self { writer, heads: HashMap::new(), is_read: false, adoptions: 0 }
    }

    /// The chains of a writer that never wrote.
    pub(super) fn begun(writer: WriterId) -> Self {
        Self { is_read: true, ..Self::of(writer) }
    }

    pub(super) const fn writer(&self) -> WriterId {
        self.writer
    }

    pub(super) const fn is_read(&self) -> bool {
        self.is_read
    }

    /// Takes the store's word.
    pub(super) fn read(&mut self, heads: &[(ChainId, Link)]) {
        self.heads = said(heads);
        self.is_read = true;
        self.adoptions = 0;
    }

    /// Takes the store's word after it refused a batch, unless that shows that somebody else writes these chains: `false` then,
    /// and they are not to be touched again.
    pub(super) fn adopt(&mut self, heads: &[(ChainId, Link)], refused: &Batch) -> bool {
        self.adoptions += 1;
        let there = said(heads);
        let is_explained = |(tenant, end): (&Option<TenantId>, &End)| {
            let at = there.get(tenant).map_or(Link::START, |head| head.link);
            !self.head(*tenant).is_ours || at == self.head(*tenant).link || at == end.link
        };
        if self.adoptions > ADOPTIONS_MAX || !refused.ends.iter().all(is_explained) {
            return false;
        }
        self.heads = there;
        true
    }

    /// Links records, in their order. The chains stay where they are until [`Self::confirm`].
    pub(super) fn link(&self, records: Vec<Row>) -> Batch {
        let mut ends: HashMap<_, End> = HashMap::new();
        let linked = |row: Row| {
            let chain = ChainId { tenant: row.tenant, writer: self.writer };
            let end = ends.entry(row.tenant).or_insert_with(|| End { link: self.head(row.tenant).link, rows: 0 });
            end.link = end.link.next(chain, row.id(), row.at_ms, row.kind, &row.json);
            end.rows += 1;
            LinkedRow { chain, link: end.link, facets: Facets::of(&row.json), row }
        };
        let rows = records.into_iter().map(linked).collect();
        Batch { rows, ends }
    }

    /// The store has taken all rows of a batch, each of them new: the chains are where it ends. Gives them, with the number
    /// of their new rows.
    pub(super) fn confirm(&mut self, batch: &Batch) -> impl Iterator<Item = (ChainId, Link, u64)> {
        self.heads.extend(batch.ends.iter().map(|(tenant, end)| (*tenant, Head { link: end.link, is_ours: true })));
        self.adoptions = 0;
        let writer = self.writer;
        batch.ends.iter().map(move |(tenant, end)| (ChainId { tenant: *tenant, writer }, end.link, end.rows))
    }

    fn head(&self, tenant: Option<TenantId>) -> Head {
        self.heads.get(&tenant).copied().unwrap_or(Head { link: Link::START, is_ours: false })
    }
}

/// What the store said.
fn said(heads: &[(ChainId, Link)]) -> HashMap<Option<TenantId>, Head> {
    heads.iter().map(|(chain, link)| (chain.tenant, Head { link: *link, is_ours: false })).collect()
}

impl Batch {
    /// The ids by which the store may know its records.
    pub(super) fn ids(&self) -> Vec<u128> {
        self.rows.iter().flat_map(|linked| ids_of(&linked.row)).collect()
    }

    /// The records, to be linked anew.
    pub(super) fn into_records(self) -> Vec<Row> {
        self.rows.into_iter().map(|linked| linked.row).collect()
    }
}

/// The ids by which the store may know records.
pub(super) fn ids(records: &[Row]) -> Vec<u128> {
    records.iter().flat_map(ids_of).collect()
}

/// That of a record, and that of the one that would say all that it says.
fn ids_of(row: &Row) -> impl Iterator<Item = u128> + use<> {
    [Some(row.id()), closing(row)].into_iter().flatten()
}

/// Leaves out what the store knows.
pub(super) fn without_known(records: &mut Vec<Row>, known: &HashSet<u128>) {
    records.retain(|row| !known.contains(&row.id()) && !closing(row).is_some_and(|id| known.contains(&id)));
}

fn closing(row: &Row) -> Option<u128> {
    Some(row.event | 1).filter(|id| *id != row.id())
}
