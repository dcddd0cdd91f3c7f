//! How chains grow: whether rows continue them, and the record that a change of a tenant adds to the operators' chain. Values in,
//! values out; the databases read and write them.

use std::collections::{BTreeSet, HashMap};

use patchbay_core::{
    TenantId,
    audit::{Action, ChainId, EventId, Facets, Link, WriterId, note_line},
};

use super::{AuditHead, AuditRow, Note};
use crate::StoreError;

/// The chains of rows, each once and in one order.
pub(crate) fn places(rows: &[AuditRow]) -> BTreeSet<ChainId> {
    rows.iter().filter(|row| row.link.seq > 0).map(|row| row.chain).collect()
}

/// Where the heads come to when rows that are not there yet are added to their chains.
///
/// # Errors
/// [`StoreError::Chain`] when they leave a gap, or begin before a chain's end.
pub(crate) fn advance(heads: &[AuditHead], mut fresh: Vec<&AuditRow>) -> Result<Vec<AuditHead>, StoreError> {
    fresh.retain(|row| row.link.seq > 0);
    fresh.sort_unstable_by_key(|row| (row.chain, row.link.seq));
    let heads: HashMap<ChainId, u64> = heads.iter().map(|head| (head.chain, head.last.seq)).collect();
    let mut moved = Vec::new();
    for rows in fresh.chunk_by(|one, next| one.chain == next.chain) {
        let (first, last) = (rows[0], rows[rows.len() - 1]);
        let at = heads.get(&first.chain).copied().unwrap_or(0);
        let mut expected = at;
        for row in rows {
            expected += 1;
            if row.link.seq != expected {
                return Err(torn(first.chain, at, expected, row.link.seq));
            }
        }
        moved.push(AuditHead { chain: first.chain, last: last.link, at_ms: last.at_ms });
    }
    Ok(moved)
}

fn torn(chain: ChainId, at: u64, expected: u64, found: u64) -> StoreError {
    let whose = chain.tenant.map_or_else(|| "no tenant".to_owned(), |tenant| format!("the tenant {tenant}"));
    StoreError::Chain(format!(
        "the audit's chain of {whose} by the writer {:016x} ends at record {at}, so record {expected} was expected and {found} \
         came: another gateway writes with a copy of this one's data folder, or the chain was not read again after somebody \
         else wrote to it; give each gateway a data folder of its own",
        chain.writer.0
    ))
}

/// The row that notes what an operator did, at the end of a tenant's chain of that.
pub(crate) fn noted(tenant: Option<TenantId>, action: Action, end: Link, note: &Note) -> AuditRow {
    let chain = operators(tenant);
    let writer = u64::from_ne_bytes(patchbay_core::random_bytes());
    let id = EventId::compose(note.at_ms, end.seq, writer);
    let kind = action.as_str();
    let json = note_line(id, note.at_ms, tenant, action, &note.actor, &note.what);
    let link = end.next(chain, id.bits(), note.at_ms, kind, &json);
    let facets = Facets::of(&json);
    AuditRow { event_id: id.bits(), chain, link, at_ms: note.at_ms, kind: kind.to_owned(), facets, json }
}

/// A tenant's chain of what operators did.
pub(crate) fn operators(tenant: Option<TenantId>) -> ChainId {
    ChainId { tenant, writer: WriterId::OPERATOR }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACME: ChainId = ChainId { tenant: Some(TenantId::from_bits(1)), writer: WriterId(7) };
    const NOBODY: ChainId = ChainId { tenant: None, writer: WriterId(7) };

    fn row(chain: ChainId, seq: u64) -> AuditRow {
        let link = Link { seq, hash: [seq as u8; 32] };
        let at_ms = seq as i64 * 10;
        AuditRow {
            event_id: u128::from(seq),
            chain,
            link,
            at_ms,
            kind: String::new(),
            facets: Facets::default(),
            json: String::new(),
        }
    }

    fn head(chain: ChainId, seq: u64) -> AuditHead {
        let row = row(chain, seq);
        AuditHead { chain, last: row.link, at_ms: row.at_ms }
    }

    #[test]
    fn rows_that_leave_a_gap_or_come_twice_or_late_are_refused() {
        for seqs in [&[7][..], &[5, 6], &[6, 8], &[6, 6], &[1]] {
            let rows: Vec<_> = seqs.iter().map(|seq| row(ACME, *seq)).collect();
            let refused = advance(&[head(ACME, 5), head(NOBODY, 6)], rows.iter().collect());
            let Err(StoreError::Chain(text)) = refused else { panic!("{seqs:?} were taken") };
            assert!(text.contains("ends at record 5"), "{text}");
        }
        assert!(advance(&[], vec![&row(NOBODY, 2)]).is_err(), "a chain begins with record 1");
    }

    #[test]
    fn each_chain_comes_to_its_last_row_whatever_the_order() {
        let rows = [row(ACME, 7), row(NOBODY, 1), row(ACME, 6), row(NOBODY, 2), row(ACME, 0)];
        let moved = advance(&[head(ACME, 5)], rows.iter().collect()).expect("they continue their chains");
        assert_eq!(moved, [head(NOBODY, 2), head(ACME, 7)]);
        assert_eq!(places(&rows).into_iter().collect::<Vec<_>>(), [NOBODY, ACME]);
        assert_eq!(advance(&[], vec![&row(ACME, 0)]).expect("there is nothing to check"), [], "in no chain");
    }
}
